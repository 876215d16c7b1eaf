"""PyTerrier's own tests of a transformer, offline, and its pipelines."""

from __future__ import annotations

import sys

import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever

DOCUMENTS = [
    Document("a", "a red fox runs fast"),
    Document("b", "the dog sleeps"),
    Document("c", "a fox and a dog"),
]


@pytest.fixture
def pt(monkeypatch):
    pyterrier = pytest.importorskip("pyterrier", reason="pyterrier is not installed")
    # It fetches its table of documentation pages from the web.
    monkeypatch.setattr(pyterrier.documentation, "url_for_class", lambda cls: None)
    monkeypatch.setenv("PT_TEST_TRANSFORMER_REPORTS", "0")
    return pyterrier


@pytest.fixture
def transformer(pt, tmp_path, document_encoder):
    from sparse_ir.integrations.pyterrier import SparseIR

    ingest(tmp_path / "i", DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path / "i") as retriever:
        yield SparseIR(retriever, threads=2)


def test_pyterriers_own_tests(pt, transformer):
    import unittest

    case = pt.testing.transformer_test_class(lambda: transformer)
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
    assert result.testsRun >= 2
    problems = [text for _, text in [*result.failures, *result.errors]]
    assert problems == []


def test_hits_and_the_queries_own_columns(pt, transformer):
    import pandas as pd

    topics = pd.DataFrame(
        [["q1", "fox", 1], ["q2", "unheard", 2], ["q3", "dog", 3]], columns=["qid", "query", "more"]
    )
    found = transformer.transform(topics)
    expected = transformer.retriever.search(["fox", "unheard", "dog"])
    assert found[["qid", "docno"]].values.tolist() == [
        [qid, hit.doc_id]
        for qid, hits in zip(["q1", "q2", "q3"], expected, strict=True)
        for hit in hits
    ]
    assert found["score"].tolist() == [hit.score for hits in expected for hit in hits]
    assert found["rank"].tolist() == [rank for hits in expected for rank in range(len(hits))]
    assert set(found["more"]) == {1, 3}
    again = transformer.transform(topics.assign(score=0.0, rank=9))
    assert again["score"].tolist() == found["score"].tolist()


def test_empty_frames(transformer):
    import pandas as pd

    found = transformer.transform(pd.DataFrame(columns=["qid", "query"]))
    assert len(found) == 0
    assert {"qid", "query", "docno", "score", "rank"} <= set(found.columns)
    found = transformer.transform(pd.DataFrame([["1", "unheard"]], columns=["qid", "query"]))
    assert len(found) == 0


def test_pipelines(pt, transformer):
    import pandas as pd

    cut = (transformer % 1).compile()
    assert cut.num_results == 1
    assert (transformer % 5000).compile() == transformer
    topics = pd.DataFrame([["q1", "fox"]], columns=["qid", "query"])
    assert (transformer % 1)(topics)["docno"].tolist() == transformer(topics)["docno"].tolist()[:1]
    assert transformer.search("dog")["docno"].tolist() == ["b", "c"]
    best, _ = transformer.search("fox")["docno"]
    qrels = pd.DataFrame([["q1", best, 1]], columns=["qid", "docno", "label"])
    table = pt.Experiment([transformer], topics, qrels, ["recip_rank"], names=["ours"])
    assert table["recip_rank"].tolist() == [1.0]


def test_bad_input(pt, transformer):
    import pandas as pd

    from sparse_ir.integrations.pyterrier import SparseIR

    with pytest.raises(pt.validate.InputValidationError):
        transformer.transform(pd.DataFrame([["1"]], columns=["qid"]))
    with pytest.raises(InvalidInputError, match="num_results is 0"):
        SparseIR(transformer.retriever, num_results=0)


def test_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyterrier", None)
    monkeypatch.delitem(sys.modules, "sparse_ir.integrations.pyterrier", raising=False)
    with pytest.raises(MissingDependencyError, match=r"sparse-ir-engine\[pyterrier\]"):
        import sparse_ir.integrations.pyterrier  # noqa: F401
