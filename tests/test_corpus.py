"""Readers: every layout, and every way in which a line can be wrong, with file and line."""

from __future__ import annotations

import errno
import gzip
import io
import json
import os
import sys
import zlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparse_ir import corpus
from sparse_ir.corpus import Document, Query, read_documents, read_queries
from sparse_ir.errors import DataFormatError, InvalidInputError


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def damaged_in_the_middle():
    """A gzip file whose second block is of no kind that there is."""
    stream = zlib.compressobj(wbits=31)
    first = stream.compress(b'{"id": "a", "text": "x"}\n') + stream.flush(zlib.Z_SYNC_FLUSH)
    return first + b"\x07" * 64


def test_jsonl(tmp_path):
    path = write(
        tmp_path / "c.jsonl",
        '\ufeff{"_id": "a", "title": "T", "text": "x", "year": 3, "metadata": {"lang": "en"}}\n'
        "\n"
        '{"id": 7, "contents": "y"}\r\n'
        '{"docid": "c", "title": "only a title", "metadata": "plain"}',
    )
    assert list(read_documents(path)) == [
        Document("a", "x", "T", {"year": 3, "lang": "en"}),
        Document("7", "y"),
        Document("c", "", "only a title", {"metadata": "plain"}),
    ]
    assert next(iter(read_documents(path))).content == "T x"


def test_keys_that_say_the_same_or_nothing(tmp_path):
    path = write(
        tmp_path / "c.jsonl",
        '{"doc_id": "a", "text": "x"}\n'
        '{"id": "b", "_id": "b", "text": "", "contents": "y", "title": null}\n'
        '{"id": "c", "text": "z", "year": 3, "metadata": {"year": 3, "lang": "en"}}\n',
    )
    assert list(read_documents(path)) == [
        Document("a", "x"),
        Document("b", "y"),
        Document("c", "z", "", {"year": 3, "lang": "en"}),
    ]


def test_of_several_ids_one_is_the_documents(tmp_path):
    """The others are not lost."""
    path = write(
        tmp_path / "c.jsonl",
        '{"doc_id": 2, "id": "a", "text": "x"}\n'
        '{"id": "B", "_id": "b", "docid": "", "text": "y"}\n',
    )
    assert list(read_documents(path)) == [
        Document("a", "x", "", {"doc_id": 2}),
        Document("b", "y", "", {"id": "B"}),
    ]


def test_beir_folder_plain_and_gzip(tmp_path):
    line = b'{"_id": "a", "title": "", "text": "x"}\n'
    write(tmp_path / "corpus.jsonl.gz", gzip.compress(line))
    write(tmp_path / "queries.jsonl", '{"_id": "q", "text": "why?"}\n')
    assert list(read_documents(tmp_path)) == [Document("a", "x")]
    assert list(read_queries(tmp_path)) == [Query("q", "why?")]


def test_tsv_and_csv(tmp_path):
    tsv = write(tmp_path / "c.tsv", "1\tone\n2\tT\ttwo\n")
    assert list(read_documents(tsv)) == [Document("1", "one"), Document("2", "two", "T")]
    table = write(tmp_path / "c.csv", 'id,title,text,lang\n1,T,"a, ""b""\nc",en\n\n2,,x,de\n')
    assert list(read_documents(table)) == [
        Document("1", 'a, "b"\nc', "T", {"lang": "en"}),
        Document("2", "x", "", {"lang": "de"}),
    ]
    named = write(tmp_path / "d.csv", "doc_id,text\n1,x\n")
    assert list(read_documents(named)) == [Document("1", "x")]


def test_a_long_cell(tmp_path):
    text = "word " * 40_000  # Python's limit is 131,072 characters
    path = write(tmp_path / "c.csv", f'id,text\n1,"{text}"\n')
    assert list(read_documents(path)) == [Document("1", text)]


@given(st.sampled_from(["", " ", "A title", "  A title "]), st.sampled_from(["b", " \n b ", "b\n"]))
def test_the_text_is_where_it_is_said_to_be_in_the_content(title, text):
    document = Document("a", text, title)
    for at, letter in enumerate(text):
        if not letter.isspace():
            assert document.content[document.text_start + at] == letter


def test_folder_of_texts(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / ".git").mkdir()
    write(tmp_path / "sub" / "b_c.txt", "plain text")
    write(tmp_path / "a.md", "# The title\n\nbody")
    write(tmp_path / "b.md", "## Only a title\n")
    write(tmp_path / "c.md", "No heading\n# on top")
    write(tmp_path / "z.rst", "rest")
    write(tmp_path / "image.png", b"\xff")
    write(tmp_path / ".git" / "x.txt", "hidden")
    assert [(d.doc_id, d.title, d.text) for d in read_documents(tmp_path)] == [
        ("a.md", "The title", "body"),
        ("b.md", "Only a title", ""),
        ("c.md", "c", "No heading\n# on top"),
        ("sub/b_c.txt", "b c", "plain text"),
        ("z.rst", "z", "rest"),
    ]


def test_a_folder_that_cannot_be_read(tmp_path, monkeypatch):
    for name in ("a", "b", ".hidden"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "c.txt", "plain text")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert [d.doc_id for d in read_documents(tmp_path)] == ["a/c.txt", "b/c.txt"]
    scan = os.scandir

    def refused(path="."):  # for root, whom no mode keeps out
        if os.fspath(path).endswith(("b", ".hidden")):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError, match="/b'"):
        list(read_documents(tmp_path))


def test_ids_are_unique_over_all_sources(tmp_path):
    for name in ("n1", "n2"):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "readme.md", f"text of {name}")
    documents = read_documents(tmp_path / "n1", tmp_path / "n2")
    assert next(documents).doc_id == "readme.md"
    twice = r"n2/readme.md:1: the id 'readme.md' of .*n1/readme.md:1 again came; want each id once"
    with pytest.raises(DataFormatError, match=twice):
        next(documents)
    other = write(tmp_path / "c.tsv", "1\tone\n")
    both = read_documents(tmp_path / "n1", other)
    assert [document.doc_id for document in both] == ["readme.md", "1"]


def test_standard_input(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(b'{"id": "a", "text": "x"}\n{"id": "b"}\n'))
    monkeypatch.setattr(sys, "stdin", stream)
    documents = read_documents("-")
    assert next(documents) == Document("a", "x")
    with pytest.raises(DataFormatError, match="standard input:2: no text"):
        next(documents)


def test_empty_documents_when_allowed(tmp_path):
    path = write(tmp_path / "c.jsonl", '{"id": "a", "text": ""}\n{"id": "b", "text": "x"}\n')
    documents = [Document("a", ""), Document("b", "x")]
    assert list(read_documents(path, allow_empty=True)) == documents


def test_queries(tmp_path):
    assert list(read_queries(write(tmp_path / "q.tsv", "1\twhat?\n"))) == [Query("1", "what?")]
    lines = write(tmp_path / "q.txt", "first\n\nthird\n")
    assert list(read_queries(lines)) == [Query("1", "first"), Query("3", "third")]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("c.jsonl", '{"id": "a", "text": "x"}\n{"id": "b", "text"\n', r"c.jsonl:2: not JSON"),
        ("c.jsonl", "[1]\n", r":1: a JSON list came; want an object"),
        ("c.jsonl", '{"text": "x"}\n', r":1: the id None came; want _id or id"),
        ("c.jsonl", '{"id": "", "text": "x"}\n', r":1: the id '' came"),
        ("c.jsonl", '{"id": true, "text": "x"}\n', r":1: the id True came"),
        ("c.jsonl", '{"id": 1.5, "text": "x"}\n', r":1: the id 1.5 came"),
        ("c.jsonl", '{"id": "a", "text": " ", "title": ""}\n', r":1: no text in document 'a'"),
        ("c.jsonl", '{"id": "a", "text": ["x"]}\n', r":1: text is a list came; want a string"),
        ("c.jsonl", '{"id": "a", "text": "\\ud800"}\n', r":1: text holds half a surrogate"),
        ("c.jsonl", '{"id": "\\ud800", "text": "a"}\n', r":1: the id holds half a surrogate"),
        ("c.jsonl", b'{"id": "a", "text": "x"}\n\n{"id": "b\xff"}', r":3: byte 0xff at column 10"),
        ("c.jsonl", '{"id": "a", "text": "x", "contents": "y"}', r":1: 'text' and another 'conte"),
        (
            "c.jsonl",
            '{"id": "a", "text": "x", "year": 1, "metadata": {"year": 2}}',
            r":1: 'year' and another 'metadata.year' came; want one of them",
        ),
        ("c.jsonl", '{"id": "a", "text": "x", "id": "b"}', r":1: the key 'id' twice came"),
        ("c.jsonl", '{"id": "a", "text": "x", "n": NaN}', r":1: metadata that is not JSON \(Out"),
        ("c.jsonl", '{"id": "a", "text": "x", "n": [1e999]}', r":1: metadata that is not JSON"),
        ("c.jsonl", '{"id": "a", "text": "x", "n": "\\ud800"}', r":1: metadata that is not JSON"),
        ("c.jsonl", '{"id": "a", "n": ' + "9" * 5000 + "}", r":1: a number of thousands of digits"),
        ("c.jsonl", '{"id": "a", "n": ' + "[" * 99_999, r":1: JSON of too many levels came"),
        (
            "c.jsonl",
            '{"id": "a", "text": "x", "n": ' + "[" * 100 + "]" * 100 + "}",
            r":1: metadata that is not JSON \(more than 100 objects and lists inside one another\)",
        ),
        ("c.csv", "id,text,text,year\n1,x,y,3\n", r":1: the column 'text' twice came"),
        (
            "c.jsonl",
            '{"id": "a", "text": "x"}\n\n{"id": "a", "text": "y"}\n',
            r"c.jsonl:3: the id 'a' of .*c.jsonl:1 again",
        ),
        ("c.tsv", "1\n", r":1: 1 columns came; want id TAB text"),
        ("c.csv", "name,text\n1,x\n", r":1: the columns name, text came; want a header"),
        ("c.csv", "", r":1: the columns none came"),
        ("c.csv", "id,text\n1,x\n2\n", r":3: 1 columns came; want 2"),
        ("c.csv", 'id,text\n1,"x\n', r":2: not CSV"),
        ("c.jsonl.gz", b"plain", r"c.jsonl.gz: not a whole gzip file"),
        (
            "c.jsonl.gz",
            gzip.compress(b'{"id": "a", "text": "x"}\n', mtime=0)[:-9],
            r"not a whole gzip",
        ),
        ("c.jsonl.gz", damaged_in_the_middle(), r"c.jsonl.gz: not a whole gzip file"),
    ],
)
def test_malformed(tmp_path, name, content, message):
    path = write(tmp_path / name, content)
    with pytest.raises(DataFormatError, match=message):
        list(read_documents(path))


def test_metadata_is_nested_a_hundred_times_at_most(tmp_path):
    nested = json.loads('{"a": ' * 50 + "[" * 50 + "]" * 50 + "}" * 50)
    path = write(tmp_path / "c.jsonl", json.dumps({"id": "x", "text": "y", **nested}))
    assert next(read_documents(path)).metadata == nested


def test_sources_of_no_known_kind(tmp_path):
    with pytest.raises(InvalidInputError, match="is of no known kind"):
        list(read_documents(write(tmp_path / "c.pdf", "x")))
    with pytest.raises(FileNotFoundError):
        list(read_documents(tmp_path / "missing.pdf"))
    with pytest.raises(FileNotFoundError):
        list(read_documents(tmp_path / "missing.jsonl"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInputError, match="holds no corpus.jsonl and no .txt"):
        list(read_documents(tmp_path / "empty"))
    with pytest.raises(InvalidInputError, match="holds no queries.jsonl"):
        read_queries(tmp_path / "empty")
    write(tmp_path / "empty" / "e.txt", " \n")
    with pytest.raises(DataFormatError, match="e.txt:1: no text in document 'e.txt'"):
        list(read_documents(tmp_path / "empty"))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of drawing, on a busy machine
@given(st.lists(st.binary() | JSON.map(lambda value: json.dumps(value).encode())))
def test_any_bytes_are_documents_or_a_located_error(tmp_path_factory, lines):
    path = write(tmp_path_factory.mktemp("any") / "c.jsonl", b"\n".join(lines))
    try:
        for document in read_documents(path):
            assert document.doc_id.strip()
            assert document.content
    except DataFormatError as error:
        assert f"{path}:" in str(error)


def test_ids_that_repeat_are_found_in_bounded_memory(tmp_path, monkeypatch):
    """Far more ids than fit into the memory allowed, in an order without any order."""
    monkeypatch.setattr("sparse_ir.corpus._SEEN_KIB", 64)
    n = 40_000
    ids = [f"{i * 7919 % n:05d}-a-long-id" for i in range(n)]
    lines = [json.dumps({"id": doc_id, "text": "x"}) for doc_id in [*ids, ids[12_345]]]
    (tmp_path / "c.jsonl").write_text("\n".join(lines))
    documents = read_documents(tmp_path / "c.jsonl")
    assert [next(documents).doc_id for _ in range(n)] == ids
    with pytest.raises(DataFormatError, match=rf"c.jsonl:{n + 1}: .* of .*c.jsonl:12346 again"):
        next(documents)


def test_no_room_for_the_ids(tmp_path, monkeypatch):
    (tmp_path / "c.jsonl").write_text(
        "".join(json.dumps({"id": f"{i}" * 40, "text": "x"}) + "\n" for i in range(5000))
    )
    make = corpus._seen

    def small():
        seen = make()
        seen.execute("PRAGMA max_page_count = 8")
        return seen

    monkeypatch.setattr(corpus, "_seen", small)
    with pytest.raises(OSError, match="temporary file: database or disk is full"):
        list(read_documents(tmp_path / "c.jsonl"))
