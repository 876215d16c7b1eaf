"""``sparse-ir encode`` as a process: killed and run again, sharded, and its bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from itertools import chain

import numpy as np
import pytest

from sparse_ir import Index

N_TEXTS = 4000


def write_queries(folder):
    lines = [f"q{i}\tquestion {i} about foxes and {i % 7} dogs\n" for i in range(N_TEXTS)]
    (folder / "q.tsv").write_text("".join(lines))


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in ("ids", "data", "indices", "indptr", "shape")}


def require_equal(path, other):
    found, expected = arrays(path), arrays(other)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_killed_and_run_again(cli, tmp_path):
    write_queries(tmp_path)
    command = ["encode", "q.tsv", "--queries", "--buffer", "10", "-o"]
    process = subprocess.Popen(
        [sys.executable, "-c", "from sparse_ir.cli import main; main()", *command, "v.npz"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    journal = tmp_path / "v.npz.parts" / "journal.jsonl"
    while process.poll() is None:
        if journal.is_file() and len(journal.read_bytes().splitlines()) > 5:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.001)
    assert process.wait() == -signal.SIGKILL
    assert not (tmp_path / "v.npz").exists()
    n_parts = len(journal.read_text().splitlines()) - 1
    done = cli(*command, "v.npz")
    assert f"{N_TEXTS} vectors (" in done.stderr
    kept = int(done.stderr.split("(")[1].split()[0])
    assert 10 * (n_parts - 1) <= kept <= 10 * (n_parts + 1)
    cli(*command, "whole.npz")
    require_equal(tmp_path / "v.npz", tmp_path / "whole.npz")
    assert not journal.parent.exists()


def test_shards_are_the_whole(cli, tmp_path):
    write_queries(tmp_path)
    ids = []
    for shard in ("0", "1", "2"):
        cli(
            *("encode", "q.tsv", "--queries", "-o", "v.jsonl"),
            *("--shard-id", shard, "--shard-num", "3", "--threads", "1"),
        )
        path = tmp_path / f"v-0000{shard}-of-00003.jsonl"
        ids.append([json.loads(line)["id"] for line in path.read_text().splitlines()])
    assert [one[0] for one in ids] == ["q0", "q1", "q2"]
    assert sorted(chain.from_iterable(ids)) == sorted(f"q{i}" for i in range(N_TEXTS))


def test_an_index_may_have_a_dot_in_its_name(cli, tmp_path):
    (tmp_path / "q.tsv").write_text("1\tthe wing of the fox\n")
    (tmp_path / "old.v2").mkdir()
    for name in ("new.index", "old.v2"):
        cli("encode", "q.tsv", "--queries", "-o", name)
        with Index.open(tmp_path / name) as index:
            assert len(index) == 1
    assert "want a name that ends in" in cli.refuses("encode", "q.tsv", "--queries", "-o", "v.tx")


def test_pruned(cli, tmp_path):
    (tmp_path / "q.tsv").write_text("1\tthe wing of the fox\n")
    cli("encode", "q.tsv", "--queries", "-o", "v.npz", "--top-terms", "2")
    assert arrays(tmp_path / "v.npz")["data"].shape == (2,)


def test_bad_input(cli, tmp_path):
    (tmp_path / "q.tsv").write_text("1\tfox\n")

    def refused(*arguments):
        return cli.refuses("encode", "q.tsv", "--queries", "-o", "v.npz", *arguments)

    assert "shard_id is 3 of shard_num 3" in refused("--shard-id", "3", "--shard-num", "3")
    assert "prune_ratio is 2.0; want 0..1" in refused("--prune-ratio", "2")
    assert "top_terms is 0" in refused("--top-terms", "0")
    assert "threads is 0" in refused("--threads", "0")
    assert "buffer_size is 0" in refused("--buffer", "0")
    assert "cannot load the model nobody/nothing" in refused("--model", "nobody/nothing")
    line = cli.refuses("encode", "q.tsv", "--queries", "-o", "/proc/none/v.npz")
    assert "/proc/none" in line


@pytest.mark.model
def test_texts_over_the_limit_are_told_of(cli, tmp_path):
    long = " ".join(["The fox cannot reach the grapes."] * 60)
    (tmp_path / "c.jsonl").write_text(
        json.dumps({"id": "a", "text": long}) + "\n" + json.dumps({"id": "b", "text": "fox"})
    )
    done = cli("encode", "c.jsonl", "-o", "v.npz", "--max-length", "64")
    assert "1 texts are longer than 64 tokens: their ends were not read" in done.stderr
    done = cli("index", "c.jsonl", "--no-passages", "--index", "cut")
    assert "1 texts are longer than the model reads" in done.stderr
    done = cli("index", "c.jsonl", "--json", "--index", "whole")
    assert json.loads(done.stdout)["cut"] == 0
    assert "longer" not in done.stderr
