"""``Index.verify`` finds damage of every kind, each made by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from test_writer_reader import N_TERMS, rows

from sparse_ir.corpus import Document
from sparse_ir.errors import IndexFormatError
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "index"
    with IndexWriter.create(path, n_terms=N_TERMS) as writer:
        documents = [Document(str(i), "red fox", metadata={"n": i}) for i in range(5)]
        writer.add(documents, rows(*[{0: 1.0}] * 5), [["red", "fox"]] * 5)
        writer.commit()
        writer.add([Document("last", "red fox")], rows({1: 1.0}), [["red", "fox"]])
        writer.delete(["2"])
    return path


def test_a_good_index(path):
    seen = []
    with Index.open(path) as index:
        index.verify(on_segment=seen.append)
        assert sum(seen) == index.info()["segment_bytes"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DELETE FROM documents WHERE doc = 1", "texts of no document"),
        ("INSERT INTO documents VALUES (6, 'x', 0, NULL, '{}')", "n_docs is 5, counted were 6"),
        ("UPDATE documents SET n_words = 3 WHERE doc = 0", "n_words is 10, counted were 11"),
        ("DELETE FROM deletions", "segments hold 1 documents of no catalog entry"),
        ("INSERT INTO deletions VALUES (0)", "documents that are deleted too"),
        ("INSERT INTO texts VALUES (77, '', 'x')", "texts of no document"),
        ("INSERT INTO passages VALUES (77, zeroblob(12), '', '')", "passages of no document"),
        (
            "INSERT INTO passages VALUES (1, zeroblob(12), zeroblob(8), zeroblob(4))",
            "passages without as many weights as terms",
        ),
        ("UPDATE documents SET metadata = '[1]' WHERE doc = 0", "metadata that are no JSON object"),
        ("UPDATE settings SET value = 3 WHERE key = 'next_doc'", "a doc number is past the next"),
        ("UPDATE documents SET doc = 2 WHERE doc = 5", "documents that are deleted too"),
        ("UPDATE lexicon SET number = 9 WHERE number = 1", "words numbered past"),
        ("UPDATE segments SET n_postings = 3 WHERE n_docs = 5", "the catalog says 3"),
        ("DELETE FROM segments WHERE n_docs = 1", "no segment holds 1 documents"),
        ("UPDATE settings SET value = 1 WHERE key = 'n_terms'", "term"),
    ],
)
def test_a_catalog_that_does_not_fit(path, damage, message):
    with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as catalog:
        catalog.execute(damage)
    with pytest.raises(IndexFormatError, match=message), Index.open(path) as index:
        index.verify()


def test_a_damaged_page_of_the_catalog(path):
    with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as catalog:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_documents_1'"
        ((page,),) = catalog.execute(query).fetchall()
        ((size,),) = catalog.execute("PRAGMA page_size").fetchall()
    content = bytearray((path / "catalog.sqlite").read_bytes())
    at = content.index(b"last", (page - 1) * size)
    content[at : at + 4] = b"salt"
    (path / "catalog.sqlite").write_bytes(content)
    with pytest.raises(IndexFormatError, match="catalog.sqlite"), Index.open(path) as index:
        index.verify()


def test_a_flipped_bit_in_a_segment_too_large_to_be_read_at_opening(path, monkeypatch):
    monkeypatch.setattr("sparse_ir.index.reader._VERIFY_BYTES", 0)
    file = min(path.glob("segment-*.sir"))
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with Index.open(path) as index, pytest.raises(IndexFormatError, match=file.name):
        index.verify()


def test_a_catalog_of_another_release(path):
    with closing(sqlite3.connect(path / "catalog.sqlite", isolation_level=None)) as catalog:
        catalog.execute("UPDATE settings SET value = 1 WHERE key = 'format_version'")
    message = "format version is 1; this release reads 3, so build the index anew"
    with pytest.raises(IndexFormatError, match=message):
        Index.open(path)
    with pytest.raises(IndexFormatError, match=message):
        IndexWriter.open(path)
