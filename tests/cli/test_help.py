"""--help and --version: quick, and without any heavy library."""

from __future__ import annotations

import subprocess
import sys

import sparse_ir.cli.options
from sparse_ir.encoders import options


def test_help_imports_no_library(tmp_path):
    code = (
        "import sys, sparse_ir.cli\n"
        "heavy = {'numpy', 'scipy', 'torch', 'transformers', 'tokenizers', 'sqlite3'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.strip() == "[]"


def test_help_and_version(cli):
    shown = cli("--help").stdout
    for command in (
        "quickstart",
        "index",
        "search",
        "delete",
        "encode",
        "info",
        "init-head",
        "run",
        "eval",
        "compare",
        "export",
        "explain",
        "convert",
        "tune",
        "mine",
        "train-dense",
        "distil-queries",
        "tune-recall",
    ):
        assert command in shown
        assert "Usage" in cli(command, "--help").stdout
    assert cli("--version").stdout.strip() == sparse_ir.__version__


def test_the_default_dense_model_is_the_encoders():
    assert sparse_ir.cli.options.DEFAULT_DENSE_MODEL == options.DEFAULT_DENSE_MODEL


def test_quickstart_corpus_is_real_and_stable():
    from sparse_ir.cli.quickstart import standard_library

    documents = list(standard_library())
    assert 1000 <= len(documents) <= 2000
    assert len({document.doc_id for document in documents}) == len(documents)
    by_id = {document.doc_id: document for document in documents}
    assert "truncate the given text" in by_id["textwrap.shorten"].text
    assert by_id["textwrap.shorten"].metadata == {"module": "textwrap", "kind": "function"}
    assert documents == list(standard_library())
