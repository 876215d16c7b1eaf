"""Anserini (Lucene) indexes what we export, and ranks as we do."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from sparse_ir.corpus import Document
from sparse_ir.evaluation.collection import read_collection
from sparse_ir.evaluation.trec import read_run
from sparse_ir.export.impacts import Impacts, document_impacts, quantise, term_names
from sparse_ir.export.jsonl import write_impact_topics, write_json_vectors
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever

SCIFACT = Path(__file__).parents[3] / "shared" / "data" / "scifact"
SCALE = 100
K = 10


def overlap(anserini, retriever, queries, folder):
    """Mean share of our ten best that are among Anserini's ten best, for ``queries`` {id: text}."""
    (folder / "docs").mkdir()
    names = term_names(retriever.index, "anchored", retriever.vocabulary.terms)
    batches = document_impacts(retriever.index, scale=SCALE)
    write_json_vectors(folder / "docs" / "vectors.jsonl", batches, names)
    weights = quantise(retriever.query_vectors(list(queries.values())), SCALE)
    write_impact_topics(folder / "topics.tsv", Impacts(list(queries), weights), names)
    anserini(
        "index.IndexCollection", "-collection", "JsonVectorCollection", "-input", folder / "docs",
        "-index", folder / "lucene", "-generator", "DefaultLuceneDocumentGenerator",
        "-threads", "1", "-impact", "-pretokenized",
    )  # fmt: skip
    anserini(
        "search.SearchCollection", "-index", folder / "lucene", "-topics", folder / "topics.tsv",
        "-topicReader", "TsvString", "-output", folder / "theirs.txt",
        "-impact", "-pretokenized", "-hits", K,
    )  # fmt: skip
    theirs = read_run(folder / "theirs.txt")
    hits = retriever.search_arrays(list(queries.values()), K)
    ours = {
        query_id: dict(zip(ids, scores, strict=False))
        for query_id, ids, scores in zip(queries, hits.ids, hits.scores.tolist(), strict=True)
    }
    shares = []
    for query_id, mine in ours.items():
        their = theirs.get(query_id, {})
        shares.append(len(mine.keys() & their.keys()) / max(len(mine), 1))
        for doc_id in mine.keys() & their.keys():
            assert their[doc_id] / SCALE**2 == pytest.approx(mine[doc_id], rel=0.02, abs=0.2)
    return sum(shares) / len(shares)


def test_same_ranking(anserini, tmp_path, document_encoder):
    draw = random.Random(5)
    words = ["red", "fox", "dog", "puppy", "sleeps", "runs", "animal", "fast", "quick"]
    words += [f"word{i}" for i in range(60)]
    documents = [
        Document(f"d{i}", " ".join(draw.choices(words, k=draw.randint(3, 40)))) for i in range(300)
    ]
    queries = {f"q{i}": " ".join(draw.choices(words, k=5)) for i in range(40)}
    ingest(tmp_path / "i", documents, model="words")
    with SparseRetriever.open(tmp_path / "i") as retriever:
        assert overlap(anserini, retriever, queries, tmp_path) >= 0.97


@pytest.mark.skipif(not SCIFACT.is_dir(), reason="needs shared/data/scifact")
def test_same_ranking_of_scifact(anserini, tmp_path, document_encoder):
    """Real texts; the learned terms are the ten words of the model that needs no network."""
    collection = read_collection(str(SCIFACT))
    ingest(tmp_path / "i", collection.documents(), model="words", batch_size=512)
    queries = {query.query_id: query.text for query in collection.queries}
    with SparseRetriever.open(tmp_path / "i") as retriever:
        assert overlap(anserini, retriever, queries, tmp_path) >= 0.99
