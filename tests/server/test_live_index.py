"""LiveIndex: readers see snapshots, one writer works, what was acknowledged is there."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.server import live_index
from sparse_ir.server.live_index import LiveIndex


def found(live, query="fox"):
    with live.snapshot() as retriever:
        return [hit.doc_id for hit in retriever.search(query, k=1000, mode="lexical")]


def test_a_snapshot_stays_while_changes_are_made(live):
    with live.snapshot() as before:
        assert live.add([Document("d", "red fox")]).result(60) == 1
        assert "d" in found(live)
        assert "d" not in [hit.doc_id for hit in before.search("fox", mode="lexical")]
        assert live.delete(["d", "a", "unknown"]).result(60) == 2
        assert before.document("a").title == "Fox"
    assert found(live) == ["notes/c.md"]
    with pytest.raises(InvalidInputError, match="closed"):
        before.document("a")


def test_changes_keep_their_order_and_share_commits(live):
    with live.document_encoder():  # the writer waits for it, so that all of these come together
        time.sleep(0.01)
        futures = [live.add([Document("d", "fox")])]
        futures += [live.add([Document(f"e{i}", "fox")]) for i in range(20)]
        futures += [live.delete(["e3"]), live.add([Document("e3", "dog")]), live.delete(["e4"])]
    assert [future.result(60) for future in futures] == [1] * 24
    assert set(found(live)) == {"a", "notes/c.md", "d"} | {f"e{i}" for i in range(20)} - {
        "e3",
        "e4",
    }
    assert "e3" in found(live, "dog")
    assert live.n_commits <= 5


def test_the_dense_model_stays_loaded_between_writes(hybrid_live, dense_encoder):
    before = dense_encoder.n_loads
    for text in ("puppy", "animal", "fox"):
        assert hybrid_live.add([Document("d", text)]).result(60) == 1
    assert dense_encoder.n_loads == before + 1


def test_a_refused_change_spoils_no_other(live):
    with live.document_encoder():
        good = [live.add([Document("d", "fox")]), live.add([Document("e", "fox")])]
        bad = live.add([Document("f", "fox", metadata={"x": float("nan")})])
        after = live.add([Document("g", "fox")])
    assert [future.result(60) for future in [*good, after]] == [1, 1, 1]
    with pytest.raises(InvalidInputError, match="metadata of 'f' is not JSON"):
        bad.result(60)
    assert {"d", "e", "g"} <= set(found(live))
    assert "f" not in found(live)


def test_what_was_taken_is_committed_by_close(index_folder):
    live = LiveIndex(index_folder)
    futures = [live.add([Document(f"d{i}", "fox")]) for i in range(30)]
    cancelled = live.add([Document("late", "fox")])
    cancelled.cancel()
    live.close()
    assert all(future.done() for future in futures)
    with Index.open(index_folder) as index:
        assert all(f"d{i}" in index for i in range(30))
    with pytest.raises(InvalidInputError, match="being closed"):
        live.add([])
    with pytest.raises(InvalidInputError, match="being closed"), live.snapshot():
        pass
    live.close()


def test_what_is_read_while_closing_is_read_to_its_end(live):
    with live.snapshot() as retriever:
        live.close()
        assert retriever.document("a").title == "Fox"
    with pytest.raises(InvalidInputError, match="closed"):
        retriever.document("a")


def test_too_many_changes_are_refused(live, monkeypatch):
    monkeypatch.setattr(live._changes, "maxsize", 3)
    with live.document_encoder(), pytest.raises(queue.Full):
        for i in range(20):
            live.add([Document(f"d{i}", "fox")])


def test_commits_of_other_processes_show(live, index_folder, monkeypatch):
    ingest(index_folder, [Document("other", "fox")], model="words")
    for _ in range(200):
        if "other" in found(live):
            break
        time.sleep(0.05)
    assert "other" in found(live)
    with IndexWriter.open(index_folder) as writer:
        writer.delete(["a"])
    assert live.add([Document("mine", "fox")]).result(60) == 1
    assert set(found(live)) == {"other", "mine", "notes/c.md"}


def test_the_write_ahead_log_stays_small(live, index_folder, monkeypatch):
    monkeypatch.setattr(live_index, "_LOG_BYTES", 300_000)
    _, log = Catalog.files(index_folder)
    largest = 0
    for i in range(60):
        live.add([Document(f"d{i % 7}", f"fox {i} " * 2000)]).result(60)
        largest = max(largest, log.stat().st_size)
    assert largest < 900_000
    assert len(live._open) == 1


def test_the_log_is_emptied_now_and_then_not_at_every_commit(live, monkeypatch):
    monkeypatch.setattr(live_index, "_LOG_BYTES", 2**21)
    empty, emptied = Catalog.checkpoint, []
    monkeypatch.setattr(Catalog, "checkpoint", lambda folder: emptied.append(empty(folder)))
    for i in range(60):
        live.add([Document(f"d{i % 7}", f"fox {i} " * 20_000)]).result(60)
    assert 1 <= len(emptied) <= 20


def test_readers_and_writers_at_once(live):
    """Whoever was told that a document is there finds it; nobody meets a closed index."""
    stop = threading.Event()

    def read():
        n = 0
        while not stop.is_set():
            assert "a" in found(live)
            n += 1
        return n

    def write(name):
        for i in range(12):
            live.add([Document(f"{name}{i}", "fox")]).result(60)
            assert f"{name}{i}" in found(live)
            if i % 3 == 0:
                assert live.delete([f"{name}{i}"]).result(60) == 1
                assert f"{name}{i}" not in found(live)

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(3)]
        writers = [pool.submit(write, name) for name in "xyz"]
        for writer in writers:
            writer.result(120)
        stop.set()
        assert all(reader.result(60) > 0 for reader in readers)
    assert len(found(live)) == 2 + 3 * 8
    assert len(live._open) == 1
