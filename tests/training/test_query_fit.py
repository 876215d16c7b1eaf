"""The fitted query table, against the objective written out in numpy and minimised by scipy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
from scipy.special import log_softmax
from toy_set import QUERIES, TEXTS, Scores, toy_set

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.training.config import TrainConfig
from sparse_ir.training.encoded_set import EncodedSet
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.mixture import TaughtSet
from sparse_ir.training.query_fit import fit_query_table

PULL = 0.1


class Refusing(Scores):
    is_cheap = False

    def scores(self, queries, documents):
        raise AssertionError("asked for a whole collection")


@pytest.fixture
def queries(model_folder):
    return LookupEncoder.load(model_folder / "query")


@pytest.fixture
def documents(queries):
    draw = np.random.default_rng(6)
    shape = (len(TEXTS), len(queries.weights))
    return (draw.uniform(0.2, 2, shape) * (draw.random(shape) < 0.5)).astype(np.float32)


@pytest.fixture
def taught(queries, documents):
    """One teacher has another table, and so something to teach; the other and BM25 are noise."""
    draw = np.random.default_rng(5)
    other = queries.with_weights(draw.uniform(0.2, 5, len(queries.weights)).astype(np.float32))
    examples = toy_set(n_labelled=len(QUERIES))
    shape = (len(QUERIES), len(TEXTS))
    teachers = [
        Scores(other.encode(QUERIES).toarray() @ documents.T),
        Scores(draw.uniform(0, 9, shape)),
    ]
    return TaughtSet(examples, teachers, (0.7, 0.3), Scores(draw.uniform(0, 4, shape)), 1.0, [])


def fitted(queries, taught, documents, *, collection_idf=True, **tables):
    settings = {"steps": 1500, "rate": 1e-2, "pull": PULL, "nearest": 6, **tables.pop("fit", {})}
    config = TrainConfig.model_validate(
        {"data": [{"path": "x"}], "query_fit": settings, "loss": {"residual": 0.3}, **tables}
    )
    collection = EncodedSet.of(
        taught, documents, queries, anchor_weight=0.6, collection_idf=collection_idf
    )
    return fit_query_table(queries, [collection], config, collection_idf=collection_idf).weights


def objective(queries, taught, documents, collection_idf):
    """(how far the logarithms of weights in search move, of the scales) -> what is minimised."""
    table, n = queries.weights.astype(float), len(TEXTS)
    if collection_idf:
        df = (documents > 0).sum(0) + 300 * np.exp(-table)
        table = np.sqrt(table * np.log1p((n + 300 - df + 0.5) / (df + 0.5)))
    counts = queries.with_weights(np.ones_like(queries.weights)).encode(QUERIES).toarray()
    used = counts.any(0) & (queries.weights > 0)
    target = 0
    for teacher, weight in zip(taught.scorers, (0.7, 0.3), strict=True):
        low, high = (f(teacher.values, axis=1, keepdims=True) for f in (np.min, np.max))
        target = target + weight * (teacher.values - low) / (high - low)
    target = log_softmax(30 * target, axis=1)
    words = np.mean([len(Analyzer().words(text)) for text in TEXTS])
    g = 0.6 / max(np.sqrt(words / 150), 0.3)

    def value(shift, scales):
        weights = table.copy()
        weights[used] *= np.exp(shift)
        learned = (counts * weights) @ documents.T
        parts = []
        for scale, scores in zip(
            np.exp(scales), (learned, taught.lexical.values + g * learned), strict=True
        ):
            mine = log_softmax(scale * scores, axis=1)
            parts.append((np.exp(target) * (target - mine)).sum(1).mean())
        return 0.7 * parts[0] + 0.3 * parts[1] + PULL * (shift**2).mean()

    return value, used


@pytest.mark.parametrize("collection_idf", [True, False])
def test_the_table_is_at_the_minimum_that_scipy_finds(queries, taught, documents, collection_idf):
    value, used = objective(queries, taught, documents, collection_idf)
    n = int(used.sum())
    best = scipy.optimize.minimize(lambda x: value(x[:n], x[n:]), np.r_[np.zeros(n), -1.0, -1.0])
    start = scipy.optimize.minimize(lambda scales: value(np.zeros(n), scales), [-1.0, -1.0])
    got = fitted(queries, taught, documents, collection_idf=collection_idf)
    moved = got[used] / queries.weights[used]
    shift = np.log(moved) / (2 if collection_idf else 1)
    reached = scipy.optimize.minimize(lambda scales: value(shift, scales), [-1.0, -1.0])
    assert best.fun < start.fun - 0.02
    assert reached.fun == pytest.approx(best.fun, abs=2e-3)
    np.testing.assert_array_equal(got[~used], queries.weights[~used])


def test_the_source_of_a_pseudo_query_is_not_compared(queries, taught, documents):
    """Neither the teachers nor the student say anything of it."""
    pseudo = replace(taught, examples=replace(taught.examples, n_labelled=0))
    otherwise = [Scores(teacher.values.copy()) for teacher in taught.scorers]
    for teacher in otherwise:
        for query, positives in enumerate(taught.examples.positives):
            teacher.values[query, list(positives)] = teacher.values[query].min() - 5
    hidden = {"batch": {"hide_source": 1.0}, "fit": {"steps": 50}}
    expected = fitted(queries, pseudo, documents, **hidden)
    got = fitted(queries, replace(pseudo, scorers=otherwise), documents, **hidden)
    np.testing.assert_array_equal(got, expected)
    shown = {"batch": {"hide_source": 0.0}, "fit": {"steps": 50}}
    assert (fitted(queries, pseudo, documents, **shown) != expected).any()


def test_the_only_document_is_compared_though_it_is_the_source(queries, taught, documents):
    few = TrainingSet("one", [Document("d", TEXTS[0])], QUERIES, [(0,)] * len(QUERIES))
    only = [Scores(teacher.values[:, :1]) for teacher in (*taught.scorers, taught.lexical)]
    one = TaughtSet(few, only[:2], (0.5, 0.5), only[2], 1.0, [])
    got = fitted(queries, one, documents[:1], batch={"hide_source": 1.0}, fit={"steps": 3})
    np.testing.assert_array_equal(got, queries.weights)  # one document: nothing to learn


def test_teachers_that_are_asked_pair_by_pair_are_left_out(queries, taught, documents):
    fit = {"steps": 20}
    more = replace(
        taught, scorers=[Refusing(None), *taught.scorers], weights=(9.0, *taught.weights)
    )
    np.testing.assert_array_equal(
        fitted(queries, more, documents, fit=fit), fitted(queries, taught, documents, fit=fit)
    )


def test_far_documents_are_compared_only_if_drawn(queries, taught, documents):
    """Document 5 is nobody's first; what its vector is can matter only where it is drawn."""
    for scorer in (*taught.scorers, taught.lexical):
        scorer.values[:, 5] = scorer.values.min() - 1
    documents[5] = 0
    other = documents.copy()
    other[5, queries.encode(["fox"]).indices] = 0.01
    few = {"nearest": 1, "others": 0, "steps": 30}

    def both(**fit):
        return [
            fitted(queries, taught, d, collection_idf=False, fit=fit) for d in (documents, other)
        ]

    np.testing.assert_array_equal(*both(**few))
    alone, drawn = both(**{**few, "others": 50})
    assert (alone != drawn).any()
