"""CIFF files, against Google's protocol buffers library."""

from __future__ import annotations

import io

import numpy as np
import pytest
import scipy.sparse as sp
from ciff_messages import DocRecord, Header, PostingsList
from google.protobuf import proto
from hypothesis import given, settings
from hypothesis import strategies as st

from sparse_ir.errors import DataFormatError, InvalidInputError
from sparse_ir.export.ciff import read_ciff, write_ciff

TERMS = ["##s", "fox", "zebra", "Äpfel", "never used"]
IMPACTS = np.array([[0, 3, 2**31 - 4, 0, 0], [300, 128, 0, 0, 0], [1, 127, 0, 5, 0]])
IDS = ["d1", "Döcument 2", "d3"]


def parse(path):
    file = io.BytesIO(path.read_bytes())
    header = proto.parse_length_prefixed(Header, file)
    lists = [
        proto.parse_length_prefixed(PostingsList, file) for _ in range(header.num_postings_lists)
    ]
    records = [proto.parse_length_prefixed(DocRecord, file) for _ in range(header.num_docs)]
    assert not file.read()
    return header, lists, records


def dump(path, lists, records, **header):
    counts = {"version": 1, "num_postings_lists": len(lists), "num_docs": len(records)}
    with path.open("wb") as file:
        for message in (Header(**counts | header), *lists, *records):
            proto.serialize_length_prefixed(message, file)
    return path


def a_list(term, *postings, **changes):
    gaps = [{"docid": gap, "tf": tf} for gap, tf in postings]
    cf = sum(tf for _, tf in postings)
    return PostingsList(**{"term": term, "df": len(postings), "cf": cf, "postings": gaps} | changes)


def some_records(*ids):
    return [DocRecord(docid=i, collection_docid=name, doclength=1) for i, name in enumerate(ids)]


def test_what_we_write_is_what_protobuf_reads(tmp_path):
    write_ciff(tmp_path / "x.ciff", IDS, sp.csr_array(IMPACTS), TERMS, description="three")
    header, lists, records = parse(tmp_path / "x.ciff")
    assert (header.version, header.num_postings_lists, header.num_docs) == (1, 4, 3)
    assert (header.total_postings_lists, header.total_docs) == (4, 3)
    assert header.total_terms_in_collection == IMPACTS.sum()
    assert header.average_doclength == IMPACTS.sum() / 3
    assert header.description == "three"
    assert [one.term for one in lists] == ["##s", "fox", "zebra", "Äpfel"]  # by bytes
    fox = lists[1]
    assert (fox.df, fox.cf) == (3, 258)
    assert [(p.docid, p.tf) for p in fox.postings] == [(0, 3), (1, 128), (1, 127)]  # gaps
    assert [r.docid for r in records] == [0, 1, 2]
    assert [r.collection_docid for r in records] == IDS
    assert records[1].doclength == 428
    assert not list(tmp_path.glob("*.tmp"))


def test_what_protobuf_writes_is_what_we_read(tmp_path):
    # protobuf leaves out zeros: the first document's gap is not there
    lists = [a_list("fox", (0, 3), (2, 70000)), a_list("dog", (1, 1))]
    path = dump(tmp_path / "x.ciff", lists, some_records("a", "b", "c"), description="theirs")
    read = read_ciff(path)
    assert read.ids == ["a", "b", "c"]
    assert read.terms == ["fox", "dog"]
    assert read.description == "theirs"
    assert read.weights.dtype == np.float32
    assert read.weights.toarray().tolist() == [[3, 0], [0, 1], [70000, 0]]


def test_records_in_any_order(tmp_path):
    records = some_records("a", "b")[::-1]
    path = dump(tmp_path / "x.ciff", [a_list("t", (1, 2))], records)
    assert read_ciff(path).ids == ["a", "b"]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_round_trip(tmp_path_factory, data):
    n, m = data.draw(st.integers(0, 6)), data.draw(st.integers(1, 5))
    greatest = (2**31 - 1) // m  # a row adds up to a length
    cells = st.lists(st.integers(0, greatest) | st.just(0), min_size=n * m, max_size=n * m)
    impacts = np.array(data.draw(cells), np.int64).reshape(n, m)
    path = tmp_path_factory.mktemp("ciff") / "x.ciff"
    terms, ids = [f"t{j}" for j in range(m)], [f"d{i}" for i in range(n)]
    write_ciff(path, ids, sp.csr_array(impacts), terms)
    read = read_ciff(path)
    assert read.ids == ids
    used = [j for j in range(m) if impacts[:, j].any()]
    assert read.terms == [terms[j] for j in used]
    assert (read.weights.toarray() == impacts[:, used].astype(np.float32)).all()
    parse(path)


@pytest.mark.parametrize(
    ("lists", "ids", "header", "message"),
    [
        ([a_list("t", (0, 1))], "ab", {"version": 2}, "another version of CIFF"),
        ([a_list("t", (0, 1), df=2)], "ab", {}, "1 postings of 't' came; want 2"),
        ([a_list("t", (2, 1))], "ab", {}, "a posting of no document"),
        ([a_list("t", (1, 1), (0, 1))], "ab", {}, "a document of 't' again"),
        ([a_list("t", (1, 0))], "ab", {}, "a frequency came"),
        ([a_list("t", (1, 1))] * 2, "ab", {}, "two lists of one term"),
        ([a_list("t", (1, 1))], "aa", {}, "an empty or repeated doc_id"),
        ([a_list("t", (1, 1))], "ab", {"num_docs": 1}, "bytes behind the last document"),
        ([a_list("t", (1, 1))], "ab", {"num_docs": 3}, "at byte"),
        ([a_list("t", (1, 1))], "ab", {"num_postings_lists": 10**9}, "more messages than bytes"),
    ],
)
def test_malformed_files(tmp_path, lists, ids, header, message):
    path = dump(tmp_path / "bad.ciff", lists, some_records(*ids), **header)
    with pytest.raises(DataFormatError, match=f"bad.ciff: at byte .*{message}|{message}"):
        read_ciff(path)


def test_a_file_cut_short_anywhere(tmp_path):
    write_ciff(tmp_path / "whole.ciff", IDS, sp.csr_array(IMPACTS), TERMS)
    whole = (tmp_path / "whole.ciff").read_bytes()
    for size in range(len(whole)):
        (tmp_path / "cut.ciff").write_bytes(whole[:size])
        with pytest.raises(DataFormatError, match="cut.ciff"):
            read_ciff(tmp_path / "cut.ciff")


@given(st.binary(max_size=60))
def test_any_bytes_at_all(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("ciff") / "x.ciff"
    path.write_bytes(data)
    try:
        read_ciff(path)
    except DataFormatError:
        pass


@pytest.mark.parametrize(
    ("ids", "impacts", "terms", "message"),
    [
        (["a"], [[1, 2]], ["x"], "want 1 documents x 1 terms"),
        (["a", "a"], [[1], [2]], ["x"], "a doc_id comes twice"),
        (["a"], [[1, 1]], ["x", "x"], "a term comes twice"),
        (["a"], [[1.5]], ["x"], "no whole number"),
        (["a"], [[-1]], ["x"], "no whole number"),
        (["a"], [[2**31]], ["x"], "no whole number"),
        (["a", "b"], [[0, 1], [2**30, 2**30]], ["x", "y"], "of 'b' add up to 2147483648, its leng"),
    ],
)
def test_refused(tmp_path, ids, impacts, terms, message):
    with pytest.raises(InvalidInputError, match=message):
        write_ciff(tmp_path / "x.ciff", ids, sp.csr_array(np.array(impacts)), terms)
    assert not list(tmp_path.iterdir())
