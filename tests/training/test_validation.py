"""Dev sets as they are read, and what is said of them, counted in numpy."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.errors import DataFormatError
from sparse_ir.training.validation import DevSet, read_dev_set, search_dev_set
from sparse_ir.vocabulary import Vocabulary


def beir(folder, qrels, split="dev"):
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    (folder / "corpus.jsonl").write_text(
        "".join(f'{{"_id": "d{i}", "text": "text {i}"}}\n' for i in range(5))
    )
    (folder / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n'
    )
    (folder / "qrels" / f"{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


def read(folder, split="dev", max_queries=9, max_documents=3):
    return read_dev_set(folder, split=split, max_queries=max_queries, max_documents=max_documents)


def test_a_sample_holds_what_is_judged_and_others(tmp_path):
    dev = read(beir(tmp_path / "dev", "q1\td1\t1\nq1\td4\t2\nq2\td3\t0\n"))
    assert dev.queries == {"q1": "one"}
    assert dev.qrels == {"q1": {"d1": 1, "d4": 2}}
    assert len(dev.documents) == 3
    assert {"d1", "d4"} < {document.doc_id for document in dev.documents}


@pytest.mark.parametrize("max_queries", [9, 1])
def test_a_judged_document_that_is_not_there_is_refused(tmp_path, max_queries):
    folder = beir(tmp_path / "dev", "q1\td1\t1\nq2\td2\t1\nq2\tx7\t1\nq1\tx8\t0\n")
    with pytest.raises(DataFormatError, match="document 'x7' as an answer of query 'q2'") as raised:
        read(folder, max_queries=max_queries)
    assert str(raised.value).startswith(f"{folder / 'qrels' / 'dev.tsv'}:4: ")


WORDS = ["red", "fox", "dog", "puppy", "sleeps", "runs", "animal", "fast", "quick"]
N_DOCUMENTS, N_QUERIES, N_TERMS = 16, 5, 12


class Given:
    """An encoder that gives these rows."""

    vocabulary = Vocabulary.of(f"t{i}" for i in range(N_TERMS))

    def __init__(self, rows):
        self._rows = rows

    def encode(self, texts, **_):
        assert len(texts) == len(self._rows)
        return sp.csr_array(self._rows.astype(np.float32))


def bm25(documents, queries):
    """(Q, D) by the formula."""
    tf = np.array([[text.split().count(word) for word in WORDS] for text in documents])
    asked = np.array([[text.split().count(word) for word in WORDS] for text in queries])
    df, lengths = (tf > 0).sum(0), tf.sum(1, keepdims=True)
    idf = np.log(1 + (len(tf) - df + 0.5) / (df + 0.5))
    k1, b = 1.2, 0.75
    return asked * idf @ (tf * (k1 + 1) / (tf + k1 * (1 - b + b * lengths / lengths.mean()))).T


def ndcg(scores, grades):
    """nDCG@10, mean over the queries; what scores nothing is not found."""
    discounts = 1 / np.log2(np.arange(2, 12))
    best = np.argsort(-scores, axis=1)[:, :10]
    found = np.take_along_axis(np.where(scores > 0, grades, 0), best, 1) @ discounts
    return np.mean(found / (-np.sort(-grades, axis=1)[:, :10] @ discounts))


def test_the_numbers_are_those_of_numpy():
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, draw.integers(6, 20))) for _ in range(N_DOCUMENTS)]
    asked = [" ".join(draw.choice(WORDS, 3)) for _ in range(N_QUERIES)]
    documents, queries = (
        draw.uniform(0.2, 2, (n, N_TERMS)) * (draw.random((n, N_TERMS)) < share)
        for n, share in ((N_DOCUMENTS, 0.5), (N_QUERIES, 0.3))
    )
    grades = draw.integers(0, 3, (N_QUERIES, N_DOCUMENTS))
    dev = DevSet(
        "toy",
        [Document(f"d{i}", text) for i, text in enumerate(texts)],
        {f"q{i}": text for i, text in enumerate(asked)},
        {
            f"q{q}": {f"d{d}": int(grade) for d, grade in enumerate(row) if grade}
            for q, row in enumerate(grades)
        },
    )
    result = search_dev_set(
        dev, Given(documents), Given(queries),
        anchor_weights=[0.1, 0.9], collection_idf=False, analyzer=Analyzer("none"),
    )  # fmt: skip
    lexical, learned = bm25(texts, asked), queries @ documents.T
    shorter = max(np.sqrt(np.mean([len(text.split()) for text in texts]) / 150), 0.3)
    expected = {g: ndcg(lexical + g / shorter * learned, grades) for g in (0.1, 0.9)}
    assert len({ndcg(lexical, grades), ndcg(learned, grades), *expected.values()}) == 4
    assert result.lexical == pytest.approx(ndcg(lexical, grades), abs=1e-6)
    assert result.learned == pytest.approx(ndcg(learned, grades), abs=1e-6)
    assert result.anchored == pytest.approx(expected, abs=1e-6)
    assert result.terms == pytest.approx((documents > 0).sum(1).mean())
    common = ((queries[:, None] > 0) & (documents[None] > 0)).sum(2)
    assert result.flops == pytest.approx(common.mean())
