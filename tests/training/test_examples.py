from __future__ import annotations

import pytest

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.training.examples import read_training_set

RECORD = {"query": "fox", "positives": ["a red fox"], "negatives": ["a dog"], "scores": [0.9, 0.1]}


def test_jsonl_shares_documents_between_queries(jsonl):
    path = jsonl(RECORD, {"query": "dog", "positives": "a dog"})
    read = read_training_set(path)
    assert [d.content for d in read.documents] == ["a red fox", "a dog"]
    assert read.queries == ["fox", "dog"]
    assert read.positives == [(0,), (1,)]
    assert read.negatives == [(1,), ()]
    assert read.scores == [{0: 0.9, 1: 0.1}, {}]
    assert read.n_labelled == 2


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[]", "a JSON list came"),
        ({"positives": ["x"]}, "query is None"),
        ({"query": "  ", "positives": ["x"]}, "query is '  '"),
        ({"query": "q"}, "no positives came"),
        ({"query": "q", "positives": [3]}, "positives is no list of texts"),
        ({"query": "q", "positives": ["x"], "scores": [1, 2]}, "want a list of 1"),
        ({"query": "q", "positives": ["x"], "scores": ["high"]}, "want finite numbers"),
        ({"query": "q", "positives": ["x"], "scores": [True]}, "want finite numbers"),
        ({"query": "q", "positives": ["x"], "scores": None}, "scores are None; want a list of 1"),
        ({"query": "q", "positives": ["x"], "scores": 0}, "scores are 0; want a list of 1"),
    ],
)
def test_errors_name_file_and_line(jsonl, line, message):
    path = jsonl(RECORD, line)
    with pytest.raises(DataFormatError, match=message) as raised:
        read_training_set(path)
    assert str(raised.value).startswith(f"{path}:2: ")


def test_what_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_bytes(b'{"query": "q", "positives": ["x"]}\n{"query": "caf\xe9"}\n')
    with pytest.raises(DataFormatError, match=r"train\.jsonl:2: byte 0xe9 .* want UTF-8"):
        read_training_set(path)


def beir(tmp_path, qrels):
    (tmp_path / "corpus.jsonl").write_text(
        "".join(f'{{"_id": "d{i}", "title": "t{i}", "text": "text {i}"}}\n' for i in range(5))
    )
    (tmp_path / "queries.jsonl").write_text(
        '{"_id": "q1", "text": "one"}\n{"_id": "q2", "text": "two"}\n'
    )
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return tmp_path


def test_a_beir_folder_gives_only_the_documents_of_its_split(tmp_path):
    folder = beir(tmp_path, "q1\td1\t1\nq2\td3\t2\nq2\td4\t0\n")
    read = read_training_set(folder)
    assert [d.doc_id for d in read.documents] == ["d1", "d3"]
    assert read.positives == [(0,), (1,)]
    assert [d.doc_id for d in read_training_set(folder, split="none").documents] == [
        f"d{i}" for i in range(5)
    ]


def test_fewer_documents_keep_their_own_queries(tmp_path):
    read = read_training_set(beir(tmp_path, "q1\td1\t1\nq2\td3\t2\n"), max_documents=1)
    assert len(read.documents) == len(read.queries) == 1
    assert read.positives == [(0,)]


@pytest.mark.parametrize(
    ("line", "message"),
    [("q1\td1\n", "want query TAB"), ("q9\td1\t1\n", "query 'q9'"), ("q1\tx\t1\n", "'x'")],
)
def test_wrong_qrels_are_refused_with_their_line(tmp_path, line, message):
    with pytest.raises(DataFormatError, match=message) as raised:
        read_training_set(beir(tmp_path, "q1\td1\t1\n" + line))
    assert ":3: " in str(raised.value)


def test_nothing_to_learn_from_is_an_error(tmp_path):
    with pytest.raises(InvalidInputError, match="holds no document"):
        read_training_set(beir(tmp_path, "q1\td1\t0\n"))
    with pytest.raises(FileNotFoundError):
        read_training_set(tmp_path / "nowhere")
