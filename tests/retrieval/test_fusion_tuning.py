"""Tuning: the best fusion wins on unseen queries, and what it gains is said as it is."""

from __future__ import annotations

import numpy as np
import pytest

from sparse_ir.corpus import Document, Query
from sparse_ir.errors import InvalidInputError
from sparse_ir.evaluation.evaluate import evaluate
from sparse_ir.retrieval import fusion_tuning
from sparse_ir.retrieval.fusion_tuning import (
    Gain,
    _gain,
    _shared,
    cross_validated,
    fusions,
    tune_fusion,
)
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest

pytest.importorskip("ir_measures", reason="ir-measures is not installed")
WORDS = ("red", "dog", "puppy", "sleeps", "runs", "animal", "quick", "fast")
DOCUMENTS = [
    Document(f"{one}-{other}", f"{one} {one} {other}") for one in WORDS for other in WORDS[::-1]
]
QUERIES = [Query(f"q{i}", f"{word} fox") for i, word in enumerate(WORDS * 2)]


@pytest.fixture
def retriever(tmp_path, document_encoder, dense_encoder):
    ingest(tmp_path, DOCUMENTS, model="words", dense="counts")
    with HybridRetriever.open(tmp_path) as opened:
        yield opened


def judged_by(retriever, mode):
    """What one leg has first is relevant, nothing else."""
    texts = [query.text for query in QUERIES]
    ids = retriever.search_arrays(texts, 3, mode=mode).ids
    return {q.query_id: dict.fromkeys(of, 1) for q, of in zip(QUERIES, ids, strict=True)}


def test_every_query_is_valued_by_what_was_chosen_without_it():
    table = np.zeros((2, 20))
    table[0], table[1] = 0.4, 0.5
    assert cross_validated(table).tolist() == [0.5] * 20
    table[1, 7] = -100  # in every fold but its own, this query speaks for row 0
    values = cross_validated(table)
    assert values[7] == -100
    assert sorted(set(values.tolist())) == [-100, 0.4, 0.5]
    assert (values == 0.5).sum() == 3  # the others of its fold


@pytest.mark.parametrize("leg", ["anchored", "dense"])
def test_the_leg_that_is_right_gets_the_weight(retriever, leg):
    told = []
    found = tune_fusion(retriever, QUERIES, judged_by(retriever, leg), on_progress=told.append)
    name = "sparse" if leg == "anchored" else "dense"
    other = "dense" if name == "sparse" else "sparse"
    assert found.values[name] > found.values[other]  # short of 1: equal scores, in another order
    assert (found.fusion.dense_weight > 0.5) == (leg == "dense")
    assert found.values["chosen"] >= found.values["default"] - 1e-9
    assert found.is_better == (found.gains["default"].mean > 0)
    for gain in found.gains.values():
        assert gain.low <= gain.mean <= gain.high
    assert sum(told) == found.n_queries == len(QUERIES)
    assert found.is_judged


@pytest.mark.parametrize("measure", ["R@1000", "nDCG@150", "R@5"])
def test_the_default_is_worth_what_a_search_for_so_many_hits_is(
    tmp_path, document_encoder, dense_encoder, measure
):
    """More hits than legs give by default, too."""
    words = np.random.default_rng(7).choice(WORDS, (450, 3)).tolist()
    documents = [Document(f"d{i}", " ".join(of)) for i, of in enumerate(words)]
    judged = {
        query.query_id: {d.doc_id: 1 for d in documents if query.text.split()[0] in d.text}
        for query in QUERIES
    }
    ingest(tmp_path, documents, model="words", dense="counts")
    with HybridRetriever.open(tmp_path) as retriever:
        hits = retriever.search_arrays([q.text for q in QUERIES], 1000, mode="hybrid")
        run = {
            query.query_id: {doc_id: -rank for rank, doc_id in enumerate(ids)}
            for query, ids in zip(QUERIES, hits.ids, strict=True)
        }
        expected = evaluate(run, judged, [measure]).means[measure]
        found = tune_fusion(retriever, QUERIES, judged, measure=measure).values["default"]
    assert found == pytest.approx(expected)


def test_measures_without_a_cutoff_see_all_candidates(retriever, monkeypatch):
    seen = []

    def recorded(run, judged, measures):
        seen.append({len(hits) for hits in run.values()})
        return evaluate(run, judged, measures)

    monkeypatch.setattr(fusion_tuning, "evaluate", recorded)
    tune_fusion(retriever, QUERIES, judged_by(retriever, "dense"), measure="MAP")
    assert seen[0] == {len(DOCUMENTS)}
    seen.clear()
    tune_fusion(retriever, QUERIES, judged_by(retriever, "dense"), measure="P@7")
    assert seen[0] == {7}


def test_the_interval_is_the_bootstraps_also_drawn_in_parts(monkeypatch):
    draw = np.random.default_rng(1)
    differences = draw.exponential(size=200)
    means = differences[draw.integers(0, 200, (20_000, 200))].mean(1)
    at_once = _gain(differences)
    assert at_once.mean == pytest.approx(differences.mean())
    assert (at_once.low, at_once.high) == pytest.approx(
        np.quantile(means, (0.025, 0.975)), abs=0.05 * means.std()
    )
    monkeypatch.setattr(fusion_tuning, "_DRAWN", 1000)
    assert _gain(differences) == at_once
    assert _gain(np.full(3, 0.5)) == Gain(0.5, 0.5, 0.5)


def test_without_judgements_by_agreement(retriever):
    assert _shared([["a", "b"], ["b", "c"], ["b", "a"]]) == {"a": 1, "b": 2}
    found = tune_fusion(retriever, QUERIES)
    assert not found.is_judged
    assert found.fusion in fusions()
    assert found.record()["values"].keys() == {"sparse", "dense", "default", "chosen"}


def test_too_few_judgements(retriever):
    with pytest.raises(InvalidInputError, match="1 judged queries came; want 10"):
        tune_fusion(retriever, QUERIES, {"q0": {"red-dog": 1}, "q1": {"red-dog": 0}})
