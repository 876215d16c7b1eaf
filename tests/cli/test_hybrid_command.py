"""Hybrid search as a user meets it: index --dense, search, info, tune, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter

DRAW = np.random.default_rng(7)


@pytest.fixture
def tiny_index(cli):
    """60 documents of random words, with a dense part, and two queries for each of ten."""
    from tiny_model import WORDS, make_tiny_model

    tiny = make_tiny_model(cli.folder)
    texts = [" ".join(DRAW.choice(WORDS, 9)) for _ in range(60)]
    files = {
        "docs.jsonl": [{"_id": f"d{i}", "text": text} for i, text in enumerate(texts)],
        "topics.jsonl": [
            {"_id": f"q{i}", "text": " ".join(texts[i].split()[2:6])} for i in range(20)
        ],
    }
    for name, records in files.items():
        (cli.folder / name).write_text("".join(json.dumps(one) + "\n" for one in records))
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(20))
    (cli.folder / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    cli("index", "docs.jsonl", "--model", tiny, "--dense", "--dense-model", cli.folder / "body")
    return cli.folder


def test_tuning_keeps_what_gains(cli, tiny_index):
    asked = ("tune", "topics.jsonl", "--qrels", "qrels.tsv", "--json")
    found = json.loads(cli(*asked, "--no-keep").stdout)
    assert found["n_queries"] == 20
    assert found["is_judged"]
    assert not found["is_kept"]
    assert found["gains"]["default"]["low"] <= found["gains"]["default"]["mean"]
    kept = json.loads(cli(*asked).stdout)
    assert kept["is_kept"] == (kept["values"]["chosen"] > kept["values"]["default"])
    shown = cli("tune", "topics.jsonl", "--no-keep")
    assert "best: " in shown.stdout
    assert "by agreement of the legs, which is not relevance; nothing is kept" in " ".join(
        shown.stderr.split()
    )


def test_tuning_replaces_what_was_kept(cli, tiny_index):
    """Even a fusion that only another release knew, and where no choice beats the default."""
    with IndexWriter.open(cli.folder / ".sparse-ir") as writer:
        writer.keep("fusion", {"method": "of another release"})
    assert "a fusion that this release does not know" in cli.refuses("search", "fox", "--hybrid")
    found = json.loads(cli("tune", "topics.jsonl", "--qrels", "qrels.tsv", "--json").stdout)
    with Index.open(cli.folder / ".sparse-ir") as index:
        kept = index.settings["fusion"]
    assert kept == (found["fusion"] if found["is_better"] else None)
    cli("search", "fox", "--hybrid")


def test_queries_by_table(cli, tiny_index):
    told = json.loads(cli("distil-queries", "--texts", 40, "--json").stdout)
    assert told["n_texts"] == 40
    assert 0 < told["overlap"] <= 1
    by = {
        how: cli("search", "fox dog", "--dense", "--dense-queries", how, "--json").stdout
        for how in ("table", "network")
    }
    assert by["table"] == cli("search", "fox dog", "--dense", "--json").stdout != by["network"]
    assert "5 texts came; want 20 or more" in cli.refuses("distil-queries", "--texts", 5)


@pytest.mark.model
def test_search_shows_both_legs(cli, dense_fables_index):
    question = "raven looking for a drink"
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
    assert "--dense-model came without --dense" in cli.refuses(
        "index", "fables.jsonl", "--dense-model", "other", cwd=dense_fables_index
    )
    assert "--codes came without --dense" in cli.refuses(
        "index", "fables.jsonl", "--codes", "hnsw", cwd=dense_fables_index
    )
