"""When the disk fails or is full nothing is committed any more: the last commit stays whole."""

from __future__ import annotations

import pytest
from test_writer_reader import N_TERMS, rows, scores

from sparse_ir.corpus import Document
from sparse_ir.errors import IndexLockedError
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter

QUICK = "sparse_ir.index.segment_files._QUICK"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "index"
    with IndexWriter.create(path, n_terms=N_TERMS) as writer:
        writer.add([Document("a", "red")], rows({0: 1.0}), [["red"]])
    return path


def check(path):
    """The index is as it was made, and can be written."""
    with Index.open(path) as index:
        index.verify()
        assert scores(index, {0: 1.0}) == {"a": 1.0}
        assert len(list(path.glob("segment-*"))) == len(index.info()["segments"])
    with IndexWriter.open(path) as writer:
        writer.add([Document("z", "red")], rows({0: 9.0}), [["red"]])
    with Index.open(path) as index:
        index.verify()
        assert scores(index, {0: 1.0}) == {"z": 9.0, "a": 1.0}


def fill(writer, pages):
    """The catalog may grow by so many pages; None lets it grow as it likes."""
    ((n,),) = writer._catalog._run("PRAGMA page_count")
    writer._catalog._run(f"PRAGMA max_page_count = {2**30 if pages is None else n + pages}")


def add_long_texts(writer):
    documents = [Document(f"b{i}", "red " * 5000) for i in range(50)]
    writer.add(documents, rows(*[{0: 2.0}] * 50), [["red"]] * 50)


@pytest.mark.parametrize("quick", [0, 2**18])
def test_a_segment_that_cannot_be_written(path, monkeypatch, quick):
    monkeypatch.setattr(QUICK, quick)
    writer = IndexWriter.open(path)
    writer.add_vectors(rows({0: 2.0}), ["b"])
    obstacle = path / "segment-000002.sir.tmp"
    obstacle.mkdir()
    with pytest.raises(OSError, match="segment-000002"):
        writer.commit()
    obstacle.rmdir()
    for call in (writer.commit, writer.index, writer.optimize):
        with pytest.raises(OSError, match="segment-000002"):
            call()
    writer.add_vectors(rows({0: 3.0}), ["c"])
    with pytest.raises(OSError, match="segment-000002"):
        writer.flush()
    writer.close()
    check(path)


@pytest.mark.parametrize("quick", [0, 2**18])
def test_documents_that_cannot_be_gathered(path, monkeypatch, quick):
    monkeypatch.setattr(QUICK, quick)

    def interrupted(*arguments):
        raise KeyboardInterrupt

    writer = IndexWriter.open(path)
    writer.add_vectors(rows({0: 2.0}), ["b"])
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("sparse_ir.index.writer.build", interrupted)
        writer.commit()
    with pytest.raises(KeyboardInterrupt):
        writer.commit()
    writer.close()
    check(path)


def test_a_full_disk_ends_the_writing(path):
    writer = IndexWriter.open(path)
    fill(writer, pages=20)
    with pytest.raises(OSError, match="full"):
        add_long_texts(writer)
    for call in (
        writer.commit,
        writer.index,
        lambda: writer.delete(["a"]),
        lambda: fill(writer, 9),
    ):
        with pytest.raises(OSError, match="full; what came since the last commit is lost"):
            call()
    with pytest.raises(OSError, match="full"):
        writer.add([Document("c", "red")], rows({0: 3.0}), [["red"]])
    with pytest.raises(IndexLockedError):
        IndexWriter.open(path)
    writer.close()
    check(path)


def test_closing_hides_no_error(path, monkeypatch):
    """Not by the merge that is under way either, which closing commits at other times."""
    monkeypatch.setattr(QUICK, 0)
    with pytest.raises(OSError, match="disk is full$"), IndexWriter.open(path) as writer:
        while not writer._files._coming:
            writer.add([Document("a", "red")], rows({0: 1.0}), [["red"]])
            writer.commit()
        fill(writer, pages=20)
        add_long_texts(writer)
    check(path)


def test_words_that_are_interrupted(path):
    """Half of a batch is in the transaction, which is still open: it must not be committed."""

    def interrupted():
        yield "x", "half"
        raise KeyboardInterrupt

    writer = IndexWriter.open(path)
    with pytest.raises(KeyboardInterrupt):
        writer._catalog.add_texts(77, interrupted())
    with pytest.raises(OSError, match="KeyboardInterrupt; what came since the last commit is lost"):
        writer.commit()
    writer.close()
    check(path)


def test_a_change_that_fails_half_way(path):
    with IndexWriter.open(path) as writer:
        for name in ("b", "c"):
            writer.add_vectors(rows({0: 2.0}), [name])
            writer.flush()
        calls = []

        def change(stored, passages):
            calls.append(len(stored[0]))
            if len(calls) == 2:
                raise ValueError("out of memory")
            return (*stored[:3], stored[3] * 5), passages

        for call in (lambda: writer.rewrite(0, change), writer.commit):
            with pytest.raises(ValueError, match="out of memory"):
                call()
        assert len(calls) == 2
        writer.close()
    check(path)
