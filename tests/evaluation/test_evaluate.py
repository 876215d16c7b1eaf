"""Measures against numbers computed by hand and by pytrec_eval."""

from __future__ import annotations

import math
import shutil
import sys

import pytest

from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.evaluation.evaluate import evaluate, require_measures

QRELS = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"e": 1}}
RUN = {"q1": {"x": 3.0, "a": 2.0, "b": 1.0}, "q2": {"d": 1.0}, "unjudged": {"a": 1.0}}


def test_by_hand():
    found = evaluate(RUN, QRELS)
    ideal = 2 + 1 / math.log2(3)
    gained = 2 / math.log2(3) + 1 / math.log2(4)
    assert found.by_query["nDCG@10"] == pytest.approx({"q1": gained / ideal, "q2": 1, "q3": 0})
    assert found.by_query["MRR@10"] == {"q1": 0.5, "q2": 1, "q3": 0}
    assert found.by_query["R@100"] == {"q1": 1, "q2": 1, "q3": 0}
    assert found.by_query["MAP"] == pytest.approx({"q1": (1 / 2 + 2 / 3) / 2, "q2": 1, "q3": 0})
    assert found.means["MRR@10"] == pytest.approx(0.5)
    assert list(found.means) == ["nDCG@10", "MRR@10", "R@100", "R@1000", "MAP"]


def test_a_measure_that_comes_under_several_names():
    average = {"q1": (1 / 2 + 2 / 3) / 2, "q2": 1, "q3": 0}
    names = ["MAP", "RR@10", "AP", "MRR@10", "R@1", "Recall@1"]
    found = evaluate(RUN, QRELS, names).by_query
    assert list(found) == names
    assert found["MAP"] == found["AP"] == pytest.approx(average)
    assert found["MRR@10"] == found["RR@10"] == {"q1": 0.5, "q2": 1, "q3": 0}
    assert found["R@1"] == found["Recall@1"] == {"q1": 0, "q2": 1, "q3": 0}


def test_as_pytrec_eval_counts_with_ties():
    pytrec_eval = pytest.importorskip("pytrec_eval", reason="pytrec_eval is not installed")
    run = {"q1": {"a": 1.0, "b": 1.0, "x": 1.0, "c": 2.0}, "q2": {"d": 1.0, "z": 1.0}}
    theirs = pytrec_eval.RelevanceEvaluator(QRELS, {"ndcg_cut_10", "map"}).evaluate(run)
    ours = evaluate(run, QRELS, ["nDCG@10", "AP"]).by_query
    for query_id, values in theirs.items():
        assert ours["nDCG@10"][query_id] == pytest.approx(values["ndcg_cut_10"])
        assert ours["AP"][query_id] == pytest.approx(values["map"])


def test_an_empty_run_is_worth_nothing():
    assert evaluate({}, QRELS, ["nDCG@10"]).by_query == {"nDCG@10": dict.fromkeys(QRELS, 0.0)}
    assert evaluate({"q1": {}}, QRELS, ["P@5"]).means == {"P@5": 0.0}


@pytest.mark.parametrize("measure", ["nDCG@ten", "Brilliance", "", "AP(x=1)", "nDCG@10@10"])
def test_unknown_measures(measure):
    with pytest.raises(InvalidInputError, match="measure is"):
        require_measures([measure])
    with pytest.raises(InvalidInputError, match="measure is"):
        evaluate(RUN, QRELS, [measure])


@pytest.mark.skipif(shutil.which("perl") is None, reason="perl is not installed, gdeval needs it")
def test_a_measure_whose_program_fails():
    assert evaluate({"1": {"a": 1.0}}, {"1": {"a": 1}}, ["ERR@10"]).means["ERR@10"] > 0
    with pytest.raises(InvalidInputError, match="perl, which ir-measures runs.*ERR@10"):
        evaluate(RUN, QRELS, ["ERR@10"])


def test_nothing_to_measure():
    for qrels, measures in (({}, ["AP"]), (QRELS, [])):
        with pytest.raises(InvalidInputError, match="want at least one of each"):
            evaluate(RUN, qrels, measures)
    with pytest.raises(InvalidInputError, match="no measure came"):
        require_measures([])


def test_ir_measures_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[eval\]"):
        evaluate(RUN, QRELS)


@pytest.mark.filterwarnings("ignore")  # it leaves files open and imports what is old
def test_as_beir_counts():
    evaluation = pytest.importorskip("beir.retrieval.evaluation", reason="beir is not installed")
    ndcg, average, _, _ = evaluation.EvaluateRetrieval.evaluate(
        QRELS, {query_id: RUN.get(query_id, {"-": 0.0}) for query_id in QRELS}, [10]
    )
    ours = evaluate(RUN, QRELS, ["nDCG@10", "AP@10"]).means
    assert ndcg["NDCG@10"] == pytest.approx(ours["nDCG@10"], abs=1e-5)
    assert average["MAP@10"] == pytest.approx(ours["AP@10"], abs=1e-5)
