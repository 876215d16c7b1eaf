"""Systems side by side: the report holds what each was found to be worth."""

from __future__ import annotations

import json

import pytest

from sparse_ir.corpus import Document, Query
from sparse_ir.evaluation.collection import Collection
from sparse_ir.evaluation.evaluate import evaluate
from sparse_ir.hits import Hit
from sparse_ir.retrieval.experiment import compare_runs, compare_systems, rankings
from sparse_ir.retrieval.systems import Cost

pytest.importorskip("ir_measures", reason="ir-measures is not installed")
DOCUMENTS = [Document(f"d{i}", "") for i in range(5)]
QUERIES = [Query(f"q{i}", f"text {i}") for i in range(150)]
QRELS = {query.query_id: {"d1": 1} for query in QUERIES}
COLLECTION = Collection("toy", "test", QUERIES, QRELS, lambda: iter(DOCUMENTS))


class Fixed:
    """Puts the relevant document at a fixed rank."""

    def __init__(self, rank):
        self.ranking = {f"x{i}": -float(i) for i in range(1, 4)} | {"d1": -rank}
        self.asked = []

    def search(self, queries, k=10):
        return [[Hit(doc_id, score) for doc_id, score in self.ranking.items()] for _ in queries]

    def rank(self, queries, k, *, threads=1):
        self.asked += queries
        return [self.ranking for _ in queries]

    def cost(self, queries):
        return Cost(7, 1.0, 2.0, 3.0)


def test_report():
    told = []
    systems = {"good": Fixed(0.5), "bad": Fixed(1.5)}
    report = compare_systems(
        COLLECTION, systems, n_documents=5, measures=["MRR@10", "P@1"], on_progress=told.append
    )
    assert sum(told) == 300
    assert systems["good"].asked == [query.text for query in QUERIES]
    assert report.outcomes["good"].evaluation.means == {"MRR@10": 1.0, "P@1": 1.0}
    assert report.outcomes["bad"].evaluation.means == {"MRR@10": 0.5, "P@1": 0.0}
    assert report.baseline == "bad"
    assert report.differences["good"].mean == 0.5
    assert report.differences["good"].wins == 150
    latency = report.outcomes["good"].latency
    assert 0 < latency.median_ms <= latency.p99_ms
    record = json.loads(json.dumps(report.record()))
    assert record["systems"]["bad"]["measures"] == {"MRR@10": 0.5, "P@1": 0.0}
    assert record["systems"]["bad"]["cost"]["flops"] == 3.0
    assert (record["documents"], record["queries"]) == (5, 150)


def test_runs_from_elsewhere():
    runs = {"a": {"q0": {"d1": 1.0}}, "b": {}, "c": {"q1": {"d1": 1.0}}}
    report = compare_runs(runs, QRELS, baseline="b", measures=["P@1"])
    assert [*report.differences] == ["a", "c"]
    assert report.outcomes["a"].evaluation == evaluate(runs["a"], QRELS, ["P@1"])
    assert report.record()["systems"]["a"]["cost"] is None
    assert report.record()["documents"] is None


def test_rankings_keep_the_order_of_the_queries():
    found = list(rankings(Fixed(1.0), QUERIES, 10))
    assert [query_id for query_id, _ in found] == [query.query_id for query in QUERIES]
