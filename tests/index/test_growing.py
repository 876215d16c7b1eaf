"""IndexWriter.index: what is uncommitted is searchable at once, against a dictionary."""

from __future__ import annotations

import threading
from concurrent import futures

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from test_writer_reader import N_TERMS, operations, rows, scores

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.params import BuildParams
from sparse_ir.index.pending import Batch
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter


@pytest.fixture
def writer(tmp_path):
    with IndexWriter.create(tmp_path / "index", n_terms=N_TERMS) as writer:
        yield writer


def test_uncommitted_documents_are_found_and_no_file_is_made(writer, tmp_path):
    writer.add_vectors(rows({0: 1.0}, {1: 2.0}), ["a", "b"], metadata=[{"x": 1}, {"x": 2}])
    index = writer.index()
    assert scores(index, {0: 1.0, 1: 1.0}) == {"b": 2.0, "a": 1.0}
    assert scores(index, {0: 1.0, 1: 1.0}, filter="x = 1") == {"a": 1.0}
    assert len(index) == 2
    assert index.document("b").metadata == {"x": 2}
    assert index.vector("b").toarray().tolist() == rows({1: 2.0}).toarray().tolist()
    assert not list((tmp_path / "index").glob("segment-*"))
    assert len(Index.open(tmp_path / "index")) == 0


def test_later_deletions_show_later_documents_do_not(writer):
    writer.add_vectors(rows({0: 1.0}, {0: 2.0}, {0: 3.0}), ["a", "b", "c"])
    writer.commit()
    index = writer.index()
    writer.delete(["b"])
    writer.add_vectors(rows({0: 9.0}), ["d"])
    assert scores(index, {0: 1.0}) == {"c": 3.0, "a": 1.0}
    writer.optimize()  # drops b from the files, and from the list of the deleted
    writer.delete(["a"])
    assert scores(index, {0: 1.0}) == {"c": 3.0}
    assert scores(writer.index(), {0: 1.0}) == {"d": 9.0, "c": 3.0}


def test_deletions_show_in_document_frequencies(writer):
    writer.add_vectors(rows({0: 1.0}, {0: 2.0, 1: 1.0}), ["a", "b"])
    index = writer.index()
    terms = np.array([0, 1], np.uint32)
    assert index.document_frequencies(terms).tolist() == [2, 1]
    writer.delete(["b"])
    assert index.document_frequencies(terms).tolist() == [1, 0]


def test_adding_costs_what_is_new(writer, monkeypatch):
    asked, size = [], Batch.size.fget
    monkeypatch.setattr(Batch, "size", property(lambda one: asked.append(one) or size(one)))
    for i in range(100):
        writer.add_vectors(rows({0: 1.0}), [str(i)])
    assert len(asked) <= 300
    assert writer._pending.size == sum(map(size, writer._pending._batches))
    writer.commit()
    assert writer._pending.size == 0


def test_closing_either_side(writer):
    writer.add_vectors(rows({0: 1.0}), ["a"])
    writer.index().close()
    index = writer.index()
    writer.close()
    with pytest.raises(InvalidInputError, match="is closed; open the index again"):
        scores(index, {0: 1.0})


def test_words_get_the_weights_that_a_commit_would_give(tmp_path):
    words = [["red", "fox"], ["red", "red", "hen", "and", "fox"], ["hen"]]
    with IndexWriter.create(tmp_path / "a", n_terms=N_TERMS) as writer:
        for i, one in enumerate(words):
            writer.add([Document(str(i), " ".join(one))], rows({0: 1.0}), [one])
            seen = writer.index()
        before = {str(i): seen.vector(str(i)).toarray().tolist() for i in range(3)}
        writer.commit()
    with Index.open(tmp_path / "a") as index:
        assert {str(i): index.vector(str(i)).toarray().tolist() for i in range(3)} == before


@settings(max_examples=60, deadline=None)
@given(operations)
def test_any_history_equals_a_dictionary_at_every_step(tmp_path_factory, history):
    path = tmp_path_factory.mktemp("history") / "index"
    expected = {}
    with IndexWriter.create(path, n_terms=N_TERMS) as writer:
        for name, argument in history:
            if name == "add":
                writer.add_vectors(rows(*argument.values()), list(argument))
                expected |= argument
            elif name == "delete":
                writer.delete(argument)
                expected = {key: row for key, row in expected.items() if key not in argument}
            else:
                getattr(writer, name)()
            totals = {key: sum(row.values()) for key, row in expected.items() if row}
            assert scores(writer.index(), dict.fromkeys(range(N_TERMS), 1.0)) == totals


def test_many_small_calls_join_their_segments_in_memory(writer):
    for i in range(100):
        writer.add_vectors(rows({0: 1.0 + i}), [str(i)])
        index = writer.index()
    assert len(index.info()["segments"]) <= 8
    assert scores(index, {0: 1.0}, k=2) == {"99": 100.0, "98": 99.0}


def test_searches_beside_a_writer_on_other_threads(tmp_path):
    """Every search gives ids for all its hits, and only documents that were alive."""
    with IndexWriter.create(tmp_path / "index", n_terms=N_TERMS) as writer:
        writer.add_vectors(rows(*[{0: 1.0 + i} for i in range(300)]), [f"a{i}" for i in range(300)])
        index, failures, done = writer.index(), [], threading.Event()

        def search():
            while not done.is_set():
                hits = index.search(rows({0: 1.0}), 20)
                ids = hits.ids[0]
                expected = [1.0 + int(doc_id[1:]) for doc_id in ids]
                if hits.scores[0].tolist() != expected or len(ids) != 20:
                    failures.append(ids)

        threads = [threading.Thread(target=search) for _ in range(2)]
        for thread in threads:
            thread.start()
        for i in range(299, 100, -1):
            writer.delete([f"a{i}"])
            writer.add_vectors(rows({1: 1.0}), [f"b{i}"])
            if i % 50 == 0:
                writer.commit()
        done.set()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.parametrize("quick", [0, 2**18])
def test_replaced_documents_do_not_stay(tmp_path, monkeypatch, quick):
    """The same 40 documents again and again, five a commit."""
    monkeypatch.setattr("sparse_ir.index.segment_files._QUICK", quick)
    path, draw, expected, most = tmp_path / "index", np.random.default_rng(8), {}, 0
    with IndexWriter.create(path, n_terms=N_TERMS, params=BuildParams("float32")) as writer:
        for number in range(80):
            ids = [f"d{i % 40}" for i in range(5 * number, 5 * number + 5)]
            matrix = draw.random((5, N_TERMS)).astype(np.float32)
            expected = {key: row for key, row in expected.items() if key not in ids}
            expected |= dict(zip(ids, matrix, strict=True))
            writer.add_vectors(matrix, ids)
            writer.commit()
            futures.wait([one.result for one in writer._files._coming])
            most = max(most, writer._files.n_rows())
    assert most <= 2 * 40 + 2 * 5  # what the other thread made is taken up by the next commit
    with IndexWriter.create(
        tmp_path / "fresh", n_terms=N_TERMS, params=BuildParams("float32")
    ) as w:
        w.add_vectors(np.stack(list(expected.values())), list(expected))
    queries = draw.random((5, N_TERMS)).astype(np.float32)
    with Index.open(path) as index, Index.open(tmp_path / "fresh") as fresh:
        index.verify()
        found, wanted = index.search(queries, 40), fresh.search(queries, 40)
        assert found.ids == wanted.ids
        assert (found.scores == wanted.scores).all()
        numbers = [doc for docs, _ in index.stored_vectors() for doc in docs]
        assert numbers == sorted(numbers)


def test_all_documents_gone_leave_no_segment(writer, tmp_path):
    writer.add_vectors(rows({0: 1.0}, {0: 2.0}), ["a", "b"])
    writer.commit()
    writer.delete(["a", "b"])
    writer.commit()
    with Index.open(tmp_path / "index") as index:
        index.verify()
        assert index.info()["segments"] == []


class TestOtherThread:
    """Large flushes and merges, made on a thread of their own."""

    @pytest.fixture
    def all_large(self, monkeypatch):
        monkeypatch.setattr("sparse_ir.index.segment_files._QUICK", 0)

    def test_the_same_bytes_as_in_the_foreground(self, tmp_path, monkeypatch):
        matrix = sp.random_array(
            (3000, 500), density=0.1, rng=np.random.default_rng(1), dtype=np.float32, format="csr"
        )
        files = []
        for quick in (0, 2**40):
            monkeypatch.setattr("sparse_ir.index.segment_files._QUICK", quick)
            path = tmp_path / str(quick)
            with IndexWriter.create(path, n_terms=500, params=BuildParams(memory_mb=1)) as writer:
                for start in range(0, 3000, 300):
                    ids = [str(i) for i in range(start, start + 300)]
                    writer.add_vectors(matrix[start : start + 300], ids)
                writer.optimize()
            files.append({f.name: f.read_bytes() for f in path.glob("segment-*")})
        assert files[0] == files[1]
        assert len(files[0]) > 1, "memory_mb bounds merges too"

    def test_a_merge_is_adopted_with_deletions_made_meanwhile(self, tmp_path, all_large):
        path = tmp_path / "index"
        with IndexWriter.create(path, n_terms=N_TERMS) as writer:
            for i in range(8):
                writer.add_vectors(rows({0: 1.0 + i}), [str(i)])
                writer.delete(["3"] if i == 5 else [])
                writer.commit()
            writer.delete(["6"])
            writer.add_vectors(rows({0: 0.5}), ["x"])
            writer.commit()
        with Index.open(path) as index:
            index.verify()
            assert len(index.info()["segments"]) <= 2
            expected = {str(i): 1.0 + i for i in (7, 5, 4, 2, 1, 0)} | {"x": 0.5}
            assert scores(index, {0: 1.0}) == expected

    def test_a_merge_survives_an_exception_that_discards_the_rest(self, tmp_path, all_large):
        path = tmp_path / "index"
        with pytest.raises(KeyError), IndexWriter.create(path, n_terms=N_TERMS) as writer:
            for i in range(8):
                writer.add_vectors(rows({0: 1.0 + i}), [str(i)])
                writer.commit()
            writer.add_vectors(rows({0: 99.0}), ["lost"])
            writer.flush()
            raise KeyError
        with Index.open(path) as index:
            index.verify()
            (segment,) = index.info()["segments"]
            assert segment["documents"] == len(index) == 8
        assert [file.name for file in path.glob("segment-*")] == [segment["file"]]

    def test_a_failed_write_fails_the_commit(self, tmp_path, all_large):
        path = tmp_path / "index"
        writer = IndexWriter.create(path, n_terms=N_TERMS)
        writer.add_vectors(rows({0: 1.0}), ["a"])
        (path / "segment-000001.sir.tmp").mkdir()
        with pytest.raises(OSError, match="segment-000001"):
            writer.commit()
        (path / "segment-000001.sir.tmp").rmdir()
        writer.close()
        assert len(Index.open(path)) == 0
