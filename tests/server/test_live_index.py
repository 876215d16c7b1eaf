"""LiveIndex: readers see snapshots, one writer works, what was acknowledged is there."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.server import live_index
from sparse_ir.server.live_index import LiveIndex


def found(live, query="fox"):
    with live.snapshot() as retriever:
        return [hit.doc_id for hit in retriever.search(query, k=1000, mode="lexical")]


def eventually(holds):
    for _ in range(200):
        if holds():
            return True
        time.sleep(0.05)
    return False


def fails_once(real, error):
    """As the real function, but for its first call, which raises."""
    calls = []

    def function(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise error
        return real(*args, **kwargs)

    return function


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
    monkeypatch.setattr(live_index, "WAITING_CHANGES", 3)
    with live.document_encoder(), pytest.raises(queue.Full):
        for i in range(20):
            live.add([Document(f"d{i}", "fox")])


def test_commits_of_other_processes_show(live, index_folder, monkeypatch):
    ingest(index_folder, [Document("other", "fox")], model="words")
    assert eventually(lambda: "other" in found(live))
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
    assert live._snapshots.n_open == 1


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
    assert live._snapshots.n_open == 1


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), TypeError("a bug")])
def test_a_reopening_that_failed_is_tried_again(live, index_folder, monkeypatch, caplog, error):
    again = fails_once(HybridRetriever.reopened, error)
    monkeypatch.setattr(HybridRetriever, "reopened", again)
    ingest(index_folder, [Document("other", "fox")], model="words")
    assert eventually(lambda: "other" in found(live))
    assert [str(error) in message for message in caplog.messages] == [True]
    assert live.add([Document("mine", "fox")]).result(60) == 1


def test_what_is_committed_is_acknowledged_though_it_cannot_be_seen_yet(
    live, index_folder, monkeypatch, caplog
):
    again = fails_once(HybridRetriever.reopened, OSError(24, "Too many open files"))
    monkeypatch.setattr(HybridRetriever, "reopened", again)
    assert live.delete(["a"]).result(60) == 1
    with Index.open(index_folder) as index:
        assert "a" not in index
    assert live.n_commits == 1
    assert eventually(lambda: "a" not in found(live))
    assert "Too many open files" in caplog.messages[0]


def test_a_file_that_cannot_be_looked_at_is_looked_at_again(live, monkeypatch, caplog):
    looked = threading.Event()

    def look():
        looked.set()
        raise PermissionError("the catalog")

    with monkeypatch.context() as patched:
        patched.setattr(live, "_look", look)
        assert looked.wait(60)
        assert live.add([Document("d", "fox")]).result(60) == 1
    assert eventually(lambda: "d" in found(live))
    assert len(caplog.messages) == 1
    assert "the catalog" in caplog.messages[0]


def test_a_newer_fusion_is_not_followed(live, index_folder, caplog):
    with IndexWriter.open(index_folder) as writer:
        writer.keep("fusion", {"method": "rrf", "newer": 1})
    assert eventually(lambda: caplog.messages)
    assert "keeps a fusion" in caplog.messages[0]
    with IndexWriter.open(index_folder) as writer:
        writer.keep("fusion", None)
    assert live.add([Document("d", "fox")]).result(60) == 1
    assert "d" in found(live)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_without_its_writer_it_takes_nothing_and_can_be_closed(live, monkeypatch):
    def end():
        raise SystemExit

    monkeypatch.setattr(live, "_follow", end)
    live._writer.join(60)
    assert live.is_closed
    with pytest.raises(InvalidInputError, match=r"the writer of .* has ended"):
        live.add([Document("d", "fox")])
    live.close()


def test_an_index_made_anew_is_read_and_written_as_it_is(live, index_folder, monkeypatch):
    loaded, load = [], live_index.load_encoder

    def load_noting(model):
        loaded.append(model)
        return load(model)

    monkeypatch.setattr(live_index, "load_encoder", load_noting)
    assert live.add([Document("before", "fox")]).result(60) == 1
    shutil.rmtree(index_folder)
    ingest(index_folder, [Document("a", "running dogs")], model="others", language="none")
    assert live.add([Document("after", "run")]).result(60) == 1
    assert loaded == ["words", "others"]
    assert found(live, "running") == ["a"]
    assert found(live, "run") == ["after"]


def test_a_dense_part_made_anew_is_written_by_its_own_model(hybrid_live, dense_encoder):
    assert hybrid_live.add([Document("before", "fox")]).result(60) == 1
    shutil.rmtree(hybrid_live.path)
    ingest(hybrid_live.path, [Document("a", "fox")], model="words", dense="others")
    before = dense_encoder.n_loads
    assert hybrid_live.add([Document("after", "dog")]).result(60) == 1
    assert dense_encoder.n_loads == before + 1


def test_of_documents_with_one_id_the_last_stays_and_counts(live):
    documents = [Document("d", "fox"), Document("e", "fox"), Document("d", "dog")]
    assert live.add(documents).result(60) == 2
    assert "d" in found(live, "dog")
    assert "d" not in found(live)
