from __future__ import annotations

import pytest

from sparse_ir.errors import DataFormatError
from sparse_ir.training.validation import read_dev_set


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
    with pytest.raises(DataFormatError, match="query 'q2' is answered by document 'x7'") as raised:
        read(folder, max_queries=max_queries)
    assert str(raised.value).startswith(f"{folder / 'qrels' / 'dev.tsv'}: ")
