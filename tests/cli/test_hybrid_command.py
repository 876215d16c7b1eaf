"""Hybrid search as a user meets it: index --dense, search, info, tune, and what is refused."""

from __future__ import annotations

import json

import pytest


@pytest.mark.model
def test_search_shows_both_legs(cli, dense_fables_index):
    question = "bird looking for a drink"
    shown = cli("search", question, "--explain", cwd=dense_fables_index).stdout
    assert "anchored rank    1" in shown
    assert "dense    rank    1" in shown
    lines = cli(
        "search", question, "--hybrid", "--json", cwd=dense_fables_index
    ).stdout.splitlines()
    best = json.loads(lines[0])
    assert best["doc_id"] == "crow"
    assert best["legs"].keys() == {"anchored", "dense"}
    assert best["legs"]["dense"]["rank"] == 1
    lexical = cli("search", "golden eggs", "--bm25", "--json", cwd=dense_fables_index).stdout
    assert [json.loads(line)["doc_id"] for line in lexical.splitlines()] == ["goose"]
    assert "5 vectors of 384 dimensions" in cli("info", cwd=dense_fables_index).stdout
    cli("verify", cwd=dense_fables_index)


@pytest.mark.model
def test_what_is_refused(cli, dense_fables_index, fables_index):
    refused = cli.refuses("search", "crow", "--hybrid", cwd=fables_index)
    assert "has no dense part; add one with: sparse-ir index --dense" in refused
    assert "modes dense, hybrid came; want one" in cli.refuses(
        "search", "crow", "--hybrid", "--dense", cwd=dense_fables_index
    )
    (dense_fables_index / "q.tsv").write_text("1\tcrow\n")
    assert "want 10 or more" in cli.refuses("tune", "q.tsv", cwd=dense_fables_index)
    assert "--codes came without --dense" in cli.refuses(
        "index", "fables.jsonl", "--codes", "hnsw", cwd=dense_fables_index
    )
