"""LiveIndex: one index that is searched and changed at the same time.

Searches run on snapshots; one thread writes. It takes all changes that wait, commits them together,
opens the next snapshot, and only then tells those who asked: what was acknowledged is on the disk,
and whoever searches afterwards finds it. Between writes the index is unlocked, so that another
process may write too (``sparse-ir index``); its commits show within a second.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from sparse_ir.corpus import Document
from sparse_ir.encoders.encoder import TextEncoder, load_encoder
from sparse_ir.errors import InvalidInputError, SparseIRError
from sparse_ir.index.catalog import Catalog, require_index
from sparse_ir.index.reader import dense_part
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.dense_part import DocumentVectors
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest

WAITING_CHANGES = 256
"""Requests for changes that may wait; more are refused with ``queue.Full``."""

_LOOK_SECONDS = 1.0  # between two looks for other processes' commits
_LOG_BYTES = 16 * 2**20  # of SQLite's write-ahead log, from which on it is emptied
_PATIENCE_SECONDS = 2.0  # for searches on old snapshots to end

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Snapshot:
    retriever: HybridRetriever
    users: int = 0
    is_retired: bool = False


@dataclass(frozen=True, slots=True)
class _Change:
    """Documents to add, or doc_ids to delete; the future gets their number when committed."""

    added: Sequence[Document] = ()
    deleted: Sequence[str] = ()
    done: Future[int] = field(default_factory=Future)

    @property
    def is_deletion(self) -> bool:
        return bool(self.deleted)


class LiveIndex:
    """The index of text in a folder, open for everything until ``close``.

    Raises:
        InvalidInputError: there is no index, or it holds vectors without text.
        IndexFormatError: a file of it is corrupt.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.n_commits = 0
        self._stamp = self._look()
        self._current = _Snapshot(HybridRetriever.open(path))
        self._open = [self._current]
        self._lock = threading.Lock()  # of the two above
        self._encoder: TextEncoder | None = None
        self._encoder_lock = threading.RLock()  # fast tokenizers are not safe to share
        self._vectors: DocumentVectors | None = None  # the writer's alone
        self._changes: queue.Queue[_Change | None] = queue.Queue(WAITING_CHANGES)
        self._is_closed = False
        self._writer = threading.Thread(target=self._write, name="sparse-ir-writer")
        self._writer.start()

    @contextmanager
    def snapshot(self) -> Iterator[HybridRetriever]:
        """The index as last committed; inside, it does not change.

        Raises:
            InvalidInputError: the index is closed.
        """
        with self._lock:
            self._require_open()
            snapshot = self._current
            snapshot.users += 1
        try:
            yield snapshot.retriever
        finally:
            self._let_go(snapshot)

    def add(self, documents: Sequence[Document]) -> Future[int]:
        """The future gets the number of documents once all are committed and can be found.

        Raises:
            InvalidInputError: the index is closed.
            queue.Full: too many changes wait.
        """
        return self._enqueue(_Change(added=documents))

    def delete(self, doc_ids: Sequence[str]) -> Future[int]:
        """The future gets how many of these there were, once they are gone for good.

        Raises:
            InvalidInputError: the index is closed.
            queue.Full: too many changes wait.
        """
        return self._enqueue(_Change(deleted=doc_ids))

    @contextmanager
    def document_encoder(self) -> Iterator[TextEncoder]:
        """The network that encodes documents, for the caller alone; loaded when first used.

        Raises:
            MissingDependencyError: the extra ``models`` is not installed.
        """
        with self._encoder_lock:
            if self._encoder is None:
                self._encoder = load_encoder(self.settings["model"])
            yield self._encoder

    @property
    def settings(self) -> dict[str, Any]:
        """What the index keeps of how it was made."""
        return dict(self._current.retriever.index.settings)

    @property
    def is_closed(self) -> bool:
        """Whether it takes no more changes."""
        return self._is_closed

    @property
    def n_waiting(self) -> int:
        """Changes that wait for the writer."""
        return self._changes.qsize()

    def close(self) -> None:
        """Every change that was taken is committed; what is still read is open until it is read."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._changes.put(None)
        self._writer.join()
        self._retire(self._current)

    def _require_open(self) -> None:
        if self._is_closed:
            raise InvalidInputError(f"{self.path} is being closed; try again later")

    # changes

    def _enqueue(self, change: _Change) -> Future[int]:
        with self._lock:  # nothing may come behind the last
            self._require_open()
            self._changes.put_nowait(change)
        return change.done

    def _write(self) -> None:
        """The writer's thread."""
        is_last = False
        while not is_last:
            try:
                waiting = [self._changes.get(timeout=_LOOK_SECONDS)]
            except queue.Empty:
                self._follow_others()
                continue
            while not self._changes.empty():
                waiting.append(self._changes.get())
            is_last = waiting[-1] is None
            changes = [one for one in waiting if one and one.done.set_running_or_notify_cancel()]
            for _, same in groupby(changes, key=lambda change: change.is_deletion):
                self._make_all(list(same))

    def _make_all(self, changes: Sequence[_Change]) -> None:
        """All in one commit; if one of them is refused, each by itself."""
        try:
            counts = self._made(changes)
        except BaseException as error:  # whoever waits must hear of it, whatever it is
            if len(changes) == 1:
                changes[0].done.set_exception(error)
                return
            for change in changes:
                self._make_all([change])
            return
        for change, count in zip(changes, counts, strict=True):
            change.done.set_result(count)

    def _made(self, changes: Sequence[_Change]) -> list[int]:
        if changes[0].is_deletion:
            with IndexWriter.open(self.path) as writer:
                counts = [writer.delete(change.deleted) for change in changes]
        else:
            self._ingest([document for change in changes for document in change.added])
            counts = [len(change.added) for change in changes]
        self.n_commits += 1
        self._renew()
        return counts

    def _ingest(self, documents: Sequence[Document]) -> None:
        require_index(self.path)  # if it was moved away, a new one must not take its place
        settings, part = self.settings, dense_part(self.settings)
        if part is not None and self._vectors is None:
            self._vectors = DocumentVectors(part.model)
        with self.document_encoder() as encoder:
            ingest(
                self.path,
                documents,
                model=settings["model"],
                language=settings["language"],
                passages=settings["passages"],
                encoder=encoder,
                dense_encoder=self._vectors,
            )

    # snapshots

    def _follow_others(self) -> None:
        if self._look() == self._stamp:
            return
        try:
            self._renew()
        except (SparseIRError, OSError) as error:
            _log.error("%s; going on with what was read before", error)

    def _renew(self) -> None:
        """New searches see the last commit."""
        self._advance()
        if self._log_bytes() > _LOG_BYTES:
            # SQLite reuses its log when all of it is in the catalog and no snapshot reads it.
            self._wait_for_old_snapshots()
            Catalog.checkpoint(self.path)
            self._advance()

    def _advance(self) -> None:
        self._stamp = self._look()
        old, new = self._current, _Snapshot(self._current.retriever.reopened())
        with self._lock:
            self._current = new
            self._open.append(new)
        self._retire(old)

    def _retire(self, snapshot: _Snapshot) -> None:
        with self._lock:
            snapshot.is_retired = True
            snapshot.users += 1
        self._let_go(snapshot)

    def _let_go(self, snapshot: _Snapshot) -> None:
        with self._lock:
            snapshot.users -= 1
            if snapshot.users or not snapshot.is_retired:
                return
            self._open.remove(snapshot)
        snapshot.retriever.close()

    def _wait_for_old_snapshots(self) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while len(self._open) > 1 and time.monotonic() < until:
            time.sleep(0.01)

    def _look(self) -> tuple[tuple[int, int], ...]:
        """Changes whenever any process commits."""
        found = [path.stat() for path in self._catalog_files() if path.exists()]
        return tuple((one.st_mtime_ns, one.st_size) for one in found)

    def _log_bytes(self) -> int:
        _, log = self._catalog_files()
        return log.stat().st_size if log.exists() else 0

    def _catalog_files(self) -> tuple[Path, Path]:
        return Catalog.files(self.path)
