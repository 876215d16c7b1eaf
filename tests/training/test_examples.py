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


def test_lines_of_one_query_are_one_query(jsonl):
    path = jsonl(
        {"query": "fox", "positives": ["a fox"], "negatives": ["a dog"], "scores": [0.9, 0.1]},
        {"query": "dog", "positives": ["a dog"], "negatives": ["a fox"]},
        {"query": " fox ", "positives": ["a vixen", "a fox"], "scores": [0.7, 0.9]},
        {"query": "fox", "positives": ["a vixen "], "negatives": ["a dog", "a cat", "a cat"]},
    )
    read = read_training_set(path)
    assert [d.content for d in read.documents] == ["a fox", "a dog", "a vixen", "a cat"]
    assert read.queries == ["fox", "dog"]
    assert read.positives == [(0, 2), (1,)]
    assert read.negatives == [(1, 3), (0,)]
    assert read.scores == [{0: 0.9, 1: 0.1, 2: 0.7}, {}]
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
        (
            {"query": "q", "positives": ["x"], "negatives": ["y", "x "]},
            "the kinds positive and negative of 'x' for 'q' came; want one of them",
        ),
        (
            {"query": "fox", "positives": ["a dog"]},
            "the kinds negative and positive of 'a dog' for 'fox' came; want one of them",
        ),
        (
            {"query": "q", "positives": ["x", "x"], "scores": [1, 2]},
            "the scores 1.0 and 2.0 of 'x' for 'q' came; want one of them",
        ),
        (
            {"query": "fox", "positives": ["a red fox"], "scores": [0.8]},
            "the scores 0.9 and 0.8 of 'a red fox' for 'fox' came; want one of them",
        ),
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
    [
        ("q1\td1\n", ":3: 2 columns came; want query, document, grade"),
        ("q1\td1\t2\n", ":3: a second grade for q1, d1 came"),
        ("q9\td1\t1\n", ":3: query 'q9' came; want one that the folder holds"),
        ("q1\tx\t1\n", ":3: document 'x' as an answer of query 'q1' came; want one that the"),
    ],
)
def test_wrong_qrels_are_refused(tmp_path, line, message):
    folder = beir(tmp_path, "q1\td1\t1\n" + line)
    with pytest.raises(DataFormatError) as raised:
        read_training_set(folder)
    assert str(raised.value).startswith(f"{folder / 'qrels' / 'train.tsv'}{message}")


@pytest.mark.parametrize(
    "qrels", ["q1 0 d1 1\nq1  0 d4 2\nq2 0 d3 0\n", "qid\tdoc\tgrade\nq1 \td1\t1\n\nq1\td4\t2\n"]
)
def test_qrels_are_read_as_eval_reads_them(tmp_path, qrels):
    folder = beir(tmp_path, "")
    (folder / "qrels" / "train.tsv").write_text(qrels)
    read = read_training_set(folder)
    assert read.queries == ["one"]
    assert [d.doc_id for d in read.documents] == ["d1", "d4"]
    assert read.positives == [(0, 1)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q1\td5\t1\n", "document 'd5' as an answer of query 'q1' came"),
        ("q3\td1\t1\n", "query 'q3' came"),
    ],
)
def test_answers_and_queries_without_a_text_are_refused(tmp_path, line, message):
    folder = beir(tmp_path, "q1\td1\t1\nq2\td5\t0\n")
    with (folder / "corpus.jsonl").open("a") as file:
        file.write('{"_id": "d5", "title": " ", "text": ""}\n')
    with (folder / "queries.jsonl").open("a") as file:
        file.write('{"_id": "q3", "text": " "}\n')
    assert read_training_set(folder).queries == ["one"]  # to be judged no answer is no harm
    with (folder / "qrels" / "train.tsv").open("a") as file:
        file.write(line)
    with pytest.raises(DataFormatError, match=f"{message}; want one .* with a text") as raised:
        read_training_set(folder)
    assert str(raised.value).startswith(f"{folder / 'qrels' / 'train.tsv'}:4: ")


def test_a_run_gives_the_teachers_scores_of_a_beir_folder(tmp_path):
    folder, run = beir(tmp_path, "q1\td1\t1\nq2\td3\t2\n"), tmp_path / "teacher.trec"
    run.write_text(
        "q1 Q0 d3 1 7.5 t\nq1 Q0 d1 2 -2 t\nq1 Q0 d0 3 -9 t\nq1 Q0 gone 4 -9 t\nq8 Q0 d4 1 4 t\n"
    )
    read = read_training_set(folder, scores=run)
    assert [document.doc_id for document in read.documents] == ["d0", "d1", "d3"]
    assert read.positives == [(1,), (2,)]
    assert read.negatives == [(2, 0), ()]
    assert read.scores == [{1: -2.0, 2: 7.5, 0: -9.0}, {}]
    run.write_text("q8 Q0 d0 1 7.5 t\n")
    with pytest.raises(InvalidInputError, match="teacher.trec has no score of a query and a docum"):
        read_training_set(folder, scores=run)


def test_scores_are_a_run_or_in_the_records(tmp_path, jsonl):
    run = tmp_path / "teacher.trec"
    for source, split in ((jsonl({"query": "a", "positives": ["b"]}), "train"), (tmp_path, "none")):
        with pytest.raises(InvalidInputError, match="want a BEIR folder and a split"):
            read_training_set(source, split=split, scores=run)


def test_nothing_to_learn_from_is_an_error(tmp_path):
    with pytest.raises(InvalidInputError, match="holds no document"):
        read_training_set(beir(tmp_path, "q1\td1\t0\n"))
    with pytest.raises(FileNotFoundError):
        read_training_set(tmp_path / "nowhere")
