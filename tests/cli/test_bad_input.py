"""Whatever is wrong with the input: one line, exit code 2, no traceback, nothing lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import zlib

import pytest

GOOD = '{"id": "a", "text": "x"}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "b"', "bad.jsonl:2: not JSON"),
        ('{"text": "y"}', "bad.jsonl:2: the id None came; want _id or id"),
        ('{"id": "a", "text": "y"}', "bad.jsonl:2: the id 'a' of "),
        ('{"id": "b", "text": ""}', "bad.jsonl:2: no text in document 'b'"),
        (b'{"id": "b", "text": "\xff"}', "bad.jsonl:2: byte 0xff at column 22 came; want UTF-8"),
        ('{"id": "b", "n": ' + "9" * 5000 + "}", "bad.jsonl:2: a number of thousands of digits"),
        ('{"id": "b", "n": ' + "[" * 99_999, "bad.jsonl:2: JSON of too many levels"),
        ('{"id": "b", "text": "y", "n": NaN}', "bad.jsonl:2: metadata that is not JSON"),
    ],
)
def test_malformed_lines(cli, tmp_path, content, message):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "bad.jsonl").write_bytes(GOOD.encode() + content + b"\n")
    assert message in cli.refuses("index", tmp_path / "bad.jsonl")
    assert message in cli.refuses("encode", tmp_path / "bad.jsonl", "-o", "v.npz")
    assert not list(tmp_path.glob("v.npz*"))


def test_a_file_damaged_in_the_middle(cli, tmp_path):
    stream = zlib.compressobj(wbits=31)
    whole = stream.compress(GOOD.encode()) + stream.flush(zlib.Z_SYNC_FLUSH)
    (tmp_path / "bad.jsonl.gz").write_bytes(whole + b"\x07" * 64)  # a block of no known kind
    message = "bad.jsonl.gz: not a whole gzip file"
    assert message in cli.refuses("index", "bad.jsonl.gz")
    assert message in cli.refuses("encode", "bad.jsonl.gz", "-o", "v.npz")
    assert message in cli.refuses("import", "bad.jsonl.gz")


def test_an_id_of_two_sources(cli, tmp_path):
    for name in ("n1", "n2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "readme.md").write_text(f"text of {name}")
    line = cli.refuses("index", "n1", "n2", "--index", "i")
    assert line.startswith("n2/readme.md:1: the id 'readme.md' of n1/readme.md:1 again")
    assert not (tmp_path / "i").exists()


def test_missing_files_and_indexes(cli, tmp_path):
    assert "No such file" in cli.refuses("index", "nowhere.jsonl")
    assert "no .sparse-ir in" in cli.refuses("search", "x")
    assert "no index at" in cli.refuses("search", "x", "--index", tmp_path)
    assert "no .sparse-ir in" in cli.refuses("info")
    assert "no model 'huge'" in cli.refuses("index", "-", "--model", "huge")
    assert "want a name that ends in" in cli.refuses("encode", "-", "-o", "v.csv")
    assert "is of no known kind" in cli.refuses("encode", __file__, "-o", "v.npz")
    assert "language is 'klingon'" in cli.refuses("index", "-", "--language", "klingon")


def test_usage_errors(cli):
    heavy = ["index", "-", "--neighbour-weight", "3"]
    seeds = [["tune-recall", "--seed", "-1"], ["distil-queries", "--texts", "0"]]
    for arguments in (
        ["fly"],
        ["search"],
        ["search", "x", "--mode", "dense"],
        ["index"],
        heavy,
        *seeds,
    ):
        done = cli(*arguments, expect=2)
        assert done.stdout == ""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a POSIX system")
def test_folders_that_cannot_be_written(cli, tmp_path):
    (tmp_path / "good.jsonl").write_text(GOOD)
    line = cli.refuses("index", "good.jsonl", "--index", "/proc/sparse-ir-index")
    assert "/proc/sparse-ir-index" in line
    if os.geteuid() != 0:
        (tmp_path / "locked").mkdir(mode=0o500)
        line = cli.refuses("index", "good.jsonl", "--index", tmp_path / "locked" / "i")
        assert "Permission denied" in line


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a POSIX system")
def test_interrupted(tmp_path):
    """While it waits for a pipe's next line."""
    os.mkfifo(tmp_path / "queries.jsonl")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from sparse_ir.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "run", "queries.jsonl", "-o", "r"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as running:
        with _opened(tmp_path / "queries.jsonl", running):
            running.send_signal(signal.SIGINT)
            _, told = running.communicate(timeout=60)
    assert told == "sparse-ir: interrupted; what was committed stays\n"
    assert running.returncode == 130


def _opened(pipe, running):
    while running.poll() is None:
        try:
            return os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "w")
        except OSError:  # nobody reads it yet
            time.sleep(0.01)
    raise AssertionError(running.stderr.read())


def test_output_that_nobody_reads(tmp_path):
    code = (
        "from sparse_ir.cli import app, main\n"
        "@app.command()\n"
        "def show(): raise BrokenPipeError(32, 'Broken pipe')\n"
        "main()"
    )
    command = [sys.executable, "-c", code, "show"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.model
class TestWithAnIndex:
    @pytest.fixture
    def copy(self, fables_index, tmp_path):
        shutil.copytree(fables_index / ".sparse-ir", tmp_path / ".sparse-ir")
        return tmp_path / ".sparse-ir"

    def test_search_arguments(self, cli, copy):
        assert "k is 0; want an integer >= 1" in cli.refuses("search", "x", "-k", "0")
        for asked in (["search"], ["explain", "--query"], ["explain"]):
            assert "character 2 of a text is '\\udcff'" in cli.refuses(*asked, "a\udcff")
        unknown = cli.refuses("search", "x", "--filter", "year > 3")
        assert "unknown field 'year'; known: number" in unknown
        assert "want a number" in cli.refuses("search", "x", "--filter", "number >")

    def test_damaged_segments(self, cli, copy):
        segment = next(copy.glob("segment-*.sir"))
        whole = segment.read_bytes()
        segment.write_bytes(whole[:-10])
        assert f"{segment.name}: the file has" in cli.refuses("search", "x")
        middle = len(whole) // 2
        segment.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
        assert "its checksum is wrong" in cli.refuses("search", "x")
        segment.write_bytes(whole)
        assert cli("search", "fox").stdout

    def test_a_bad_line_loses_nothing_committed(self, cli, copy, tmp_path):
        (tmp_path / "bad.jsonl").write_text(GOOD + "{\n")
        assert "bad.jsonl:2" in cli.refuses("index", "bad.jsonl")
        assert "crow" in cli("search", "crow").stdout

    def test_another_model_language_neighbour_or_title_weight(self, cli, copy, tmp_path):
        (tmp_path / "good.jsonl").write_text(GOOD)
        line = cli.refuses("index", "good.jsonl", "--language", "german")
        assert "was built with language 'english', not 'german'" in line
        line = cli.refuses("index", "good.jsonl", "--neighbour-weight", "0.2")
        assert "was built with neighbour_weight 0.7, not 0.2" in line
        line = cli.refuses("index", "good.jsonl", "--title-weight", "4")
        assert "was built with title_weight 2, not 4" in line

    def test_index_of_another_vocabulary(self, cli, copy):
        import sqlite3

        with sqlite3.connect(copy / "catalog.sqlite") as catalog:
            catalog.execute("UPDATE settings SET value = '\"x\"' WHERE key = 'vocabulary'")
        catalog.close()
        assert "is not the index's" in cli.refuses("search", "fox")

    def test_a_second_writer(self, cli, copy, tmp_path):
        from sparse_ir import IndexWriter

        (tmp_path / "good.jsonl").write_text(GOOD)
        with IndexWriter.open(copy):
            assert "another writer has" in cli.refuses("index", "good.jsonl")
