"""Runs and judgements: the field's readers read what we write; what is malformed is refused."""

from __future__ import annotations

import gzip
import json

import ir_measures
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.evaluation.trec import ranked, read_qrels, read_run, write_run

RUN = {
    "q2": {"b": 2.5, "a": 2.5, "c": 7.0},
    "q1": {"x": float(np.float32(0.1)), "y": -3.0},
}


def as_float32(run):
    return {q: {doc: np.float32(score) for doc, score in hits.items()} for q, hits in run.items()}


def test_ranked_by_score_then_doc_id():
    assert ranked(RUN["q2"]) == [("c", 7.0), ("a", 2.5), ("b", 2.5)]


def test_trec_file(tmp_path):
    write_run(tmp_path / "r", RUN.items(), tag="mine")
    assert (tmp_path / "r").read_text().splitlines() == [
        "q2 Q0 c 1 7.0 mine",
        "q2 Q0 a 2 2.5 mine",
        "q2 Q0 b 3 2.5 mine",
        "q1 Q0 x 1 0.1 mine",
        "q1 Q0 y 2 -3.0 mine",
    ]


def test_msmarco_and_jsonl_files(tmp_path):
    write_run(tmp_path / "m", RUN.items(), "msmarco")
    assert (tmp_path / "m").read_text().splitlines()[:2] == ["q2\tc\t1", "q2\ta\t2"]
    assert read_run(tmp_path / "m")["q2"] == {"c": 1.0, "a": 1 / 2, "b": 1 / 3}
    write_run(tmp_path / "j", RUN.items(), "jsonl")
    first = json.loads((tmp_path / "j").read_text().splitlines()[0])
    assert first == {"query_id": "q2", "doc_id": "c", "rank": 1, "score": 7.0}
    assert read_run(tmp_path / "j") == RUN


@given(
    st.dictionaries(
        st.text("abc1", min_size=1),
        st.dictionaries(
            st.text("xyz_-.9", min_size=1),
            st.floats(width=32, allow_nan=False, allow_infinity=False),
            min_size=1,
        ),
    )
)
def test_scores_come_back_to_the_bit(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("run") / "r"
    for format in ("trec", "jsonl"):
        write_run(path, run.items(), format)
        assert as_float32(read_run(path)) == as_float32(run)
        assert [*read_run(path)] == [*run]


def test_the_fields_own_readers_agree(tmp_path):
    write_run(tmp_path / "r.trec", RUN.items())
    theirs = {}
    for one in ir_measures.read_trec_run(str(tmp_path / "r.trec")):
        theirs.setdefault(one.query_id, {})[one.doc_id] = one.score
    assert as_float32(theirs) == as_float32(RUN)
    ranx = pytest.importorskip("ranx", reason="ranx is not installed")
    read = ranx.Run.from_file(str(tmp_path / "r.trec"), kind="trec").to_dict()
    assert as_float32(read) == as_float32(RUN)


@pytest.mark.parametrize(
    ("id", "format"), [("a b", "trec"), ("a\tb", "msmarco"), ("", "trec"), ("a b", "msmarco")]
)
def test_ids_that_columns_cannot_hold(tmp_path, id, format):
    with pytest.raises(InvalidInputError, match="write the run as jsonl"):
        write_run(tmp_path / "r", {"q": {id: 1.0}}.items(), format)
    write_run(tmp_path / "r", {"q": {id: 1.0}}.items(), "jsonl")
    assert read_run(tmp_path / "r") == {"q": {id: 1.0}}


def test_a_run_that_fails_half_way_leaves_the_old_file(tmp_path):
    (tmp_path / "r").write_text("old")

    def broken():
        yield "q", {"a": 1.0}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_run(tmp_path / "r", broken())
    assert (tmp_path / "r").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r"]


def test_bad_arguments(tmp_path):
    with pytest.raises(InvalidInputError, match="format is 'csv'; want trec, msmarco, jsonl"):
        write_run(tmp_path / "r", [], "csv")
    with pytest.raises(InvalidInputError, match="tag is 'a b'; want a word"):
        write_run(tmp_path / "r", [], tag="a b")


TREC = "q1 Q0 d1 1 3.5 tag\n"


def _hit(score):
    return f'{{"query_id": "q1", "doc_id": "d1", "score": {score}}}\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (TREC + "q1 Q0 d2 2 3.5\n", "run:2: 5 columns came"),
        (TREC + "q1 Q0 d1 2 1.5 tag\n", "run:2: document d1 of query q1 again"),
        (TREC + "q1 Q0 d2 2 high tag\n", "run:2: the score 'high'"),
        (TREC + "q1 Q0 d2 2 nan tag\n", "run:2: the score nan"),
        ("q1\td1\tfirst\n", "run:1: 'first' came; want a whole number"),
        ("q1\td1\t0\n", "run:1: the rank 0 came; want ranks that begin at 1"),
        ("q1\td1\t1\nq1\td2\t-5\n", "run:2: the rank -5 came"),
        ("q1 d1\n", "run:1: 2 columns came"),
        ('{"query_id": "q1"\n', "run:1: not JSON"),
        ('{"query_id": "q1", "doc_id": 3, "score": 1}\n', "run:1: query_id 'q1', doc_id 3"),
        ('{"query_id": "q1", "doc_id": "d", "score": null}\n', "run:1: the score None"),
        (_hit("9" * 400), "run:1: the score 9{18}.*9 came; want a number"),
        (_hit("1") + _hit("9" * 5000), "run:2: a number of thousands of digits"),
        (_hit("[" * 100_000 + "]" * 100_000), "run:1: JSON of too many levels"),
        (_hit("1").replace("q1", r"\ud800"), "run:1: query_id holds half a surrogate pair"),
        (_hit("1").replace("d1", r"d\ud800"), "run:1: doc_id holds half a surrogate pair"),
        (b"q1 Q0 \xff 1 3.5 tag\n", "run:1: byte 0xff"),
    ],
)
def test_malformed_runs(tmp_path, content, message):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / "run").write_bytes(data)
    with pytest.raises(DataFormatError, match=message):
        read_run(tmp_path / "run")


@pytest.mark.parametrize(
    "content",
    [
        "q1 0 a 2\nq1 0 b 0\nq2 0 c 1\n",
        "q1\t0\ta\t2\n\nq1\t0\tb\t0\nq2\t0\tc\t1\n",
        "query-id\tcorpus-id\tscore\nq1\ta\t2\nq1\tb\t0\nq2\tc\t1\n",
        "q1\ta\t2\nq1\tb\t0\nq2\tc\t1\nq2\tc\t1",
    ],
)
def test_qrels(tmp_path, content):
    expected = {"q1": {"a": 2, "b": 0}, "q2": {"c": 1}}
    (tmp_path / "qrels").write_text(content)
    assert read_qrels(tmp_path / "qrels") == expected
    with gzip.open(tmp_path / "qrels.tsv.gz", "wt") as file:
        file.write(content)
    assert read_qrels(tmp_path / "qrels.tsv.gz") == expected


def test_the_greatest_grades(tmp_path):
    (tmp_path / "qrels").write_text("q1 0 a 1000000\nq1 0 b -1000000\n")
    assert read_qrels(tmp_path / "qrels") == {"q1": {"a": 10**6, "b": -(10**6)}}


def test_beir_ids_may_hold_spaces(tmp_path):
    (tmp_path / "qrels").write_text("query-id\tcorpus-id\tscore\nq 1\tdoc 1\t1\n")
    assert read_qrels(tmp_path / "qrels") == {"q 1": {"doc 1": 1}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("q1 0 a 2\nq1 0 b\n", "qrels:2: 3 columns came"),
        ("q1 0 a yes\n", "qrels:1: 'yes' came; want a whole number"),
        (f"q1 0 a 1\nq1 0 b {'9' * 40}\n", "qrels:2: the grade 9{40} came; want one from -1,000"),
        ("q1 0 a -1000001\n", "qrels:1: the grade -1000001 came"),
        (f"q1 0 a {'9' * 5000}\n", "qrels:1: '9{12}.*9' came; want a whole number"),
        ("q1 0 a 1\nq1 0 a 2\n", "qrels:2: a second grade for q1, a"),
        ("q1 a\n", "qrels:1: 2 columns came"),
        ("query-id\tcorpus-id\tscore\n", "no judgement came"),
        ("", "no judgement came"),
    ],
)
def test_malformed_qrels(tmp_path, content, message):
    (tmp_path / "qrels").write_text(content)
    with pytest.raises(DataFormatError, match=message):
        read_qrels(tmp_path / "qrels")
