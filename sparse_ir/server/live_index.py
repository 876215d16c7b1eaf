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
from collections.abc import Iterator, Mapping, Sequence
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
from sparse_ir.retrieval.dense_part import LazyDenseEncoder
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.snapshots import Snapshots

WAITING_CHANGES = 256
"""Requests for changes that may wait; more are refused with ``queue.Full``."""

_LOOK_SECONDS = 1.0  # between two looks for other processes' commits
_LOG_BYTES = 16 * 2**20  # of SQLite's write-ahead log, from which on it is emptied
_PATIENCE_SECONDS = 2.0  # for searches on old snapshots to end

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int], ...]


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
        self._stamp: _Stamp | None = self._look()
        self._problem = ""  # why new searches do not see the last commit
        retriever = HybridRetriever.open(path)
        self.settings = retriever.index.settings  # of the last commit
        self._snapshots = Snapshots(retriever)
        self._lock = threading.Lock()  # of the changes' end
        self._encoder: TextEncoder | None = None
        self._encoder_lock = threading.RLock()  # two would share the cores
        self._vectors: LazyDenseEncoder | None = None  # the writer's alone
        self._changes: queue.Queue[_Change | None] = queue.Queue()
        self._is_closed = False
        self._writer = threading.Thread(target=self._write, name="sparse-ir-writer")
        self._writer.start()

    @contextmanager
    def snapshot(self) -> Iterator[HybridRetriever]:
        """The index as last committed; inside, it does not change.

        Raises:
            InvalidInputError: the index is closed.
        """
        self._require_open()
        with self._snapshots.use() as retriever:
            yield retriever

    def add(self, documents: Sequence[Document]) -> Future[int]:
        """The future gets the number of documents once all are committed and can be found.

        Of those with the same doc_id the last stays, and they count as one.

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
    def is_closed(self) -> bool:
        """Whether it takes no more changes."""
        return self._is_closed or not self._writer.is_alive()

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
        self._snapshots.replace(None)

    def _require_open(self) -> None:
        if self._is_closed:
            raise InvalidInputError(f"{self.path} is being closed; try again later")
        if not self._writer.is_alive():
            raise InvalidInputError(f"the writer of {self.path} has ended; start the server again")

    # changes

    def _enqueue(self, change: _Change) -> Future[int]:
        with self._lock:  # nothing may come behind the last
            self._require_open()
            if self._changes.qsize() >= WAITING_CHANGES:
                raise queue.Full
            self._changes.put(change)
        return change.done

    def _write(self) -> None:
        """The writer's thread."""
        is_last = False
        while not is_last:
            waiting = self._next_changes()
            is_last = waiting[-1:] == [None]
            self._follow()  # others too: changes are made by what the index is now
            changes = [one for one in waiting if one and one.done.set_running_or_notify_cancel()]
            for _, same in groupby(changes, key=lambda change: change.is_deletion):
                self._make_all(list(same))

    def _next_changes(self) -> list[_Change | None]:
        """All that wait; none if none comes for a while."""
        try:
            waiting = [self._changes.get(timeout=_LOOK_SECONDS)]
        except queue.Empty:
            return []
        while not self._changes.empty():
            waiting.append(self._changes.get())
        return waiting

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
        self.n_commits += 1
        self._stamp = None  # it is to be seen even if the files' clock has not ticked since
        self._follow()
        for change, count in zip(changes, counts, strict=True):
            change.done.set_result(count)

    def _made(self, changes: Sequence[_Change]) -> list[int]:
        if changes[0].is_deletion:
            with IndexWriter.open(self.path) as writer:
                return [writer.delete(change.deleted) for change in changes]
        self._ingest([document for change in changes for document in change.added])
        return [len({document.doc_id for document in change.added}) for change in changes]

    def _ingest(self, documents: Sequence[Document]) -> None:
        require_index(self.path)  # if it was moved away, a new one must not take its place
        settings, part = self.settings, dense_part(self.settings)
        if part is not None and self._vectors is None:
            self._vectors = LazyDenseEncoder(part.model)
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

    def _follow(self) -> None:
        """New searches see the last commit of any process; or why not is logged, once.

        Whatever it is, the writer lives on, and tries again at its next look.
        """
        try:
            if self._look() != self._stamp:
                self._renew()
            self._problem = ""
        except Exception as error:
            if self._problem != repr(error):
                self._problem = repr(error)
                is_bug = not isinstance(error, SparseIRError | OSError)
                _log.error("%s; going on with what was read before", error, exc_info=is_bug)

    def _renew(self) -> None:
        """New searches see the last commit, and SQLite's log stays small."""
        self._advance()
        if self._log_bytes() > _LOG_BYTES:
            # SQLite reuses its log when all of it is in the catalog and no snapshot reads it.
            self._wait_for_old_snapshots()
            Catalog.checkpoint(self.path)
            self._advance()

    def _advance(self) -> None:
        stamp = self._look()
        with self._snapshots.use() as before:
            new = before.reopened()
        old, self.settings = self.settings, new.index.settings
        self._snapshots.replace(new)
        self._stamp = stamp
        if _models(self.settings) != _models(old):
            with self._encoder_lock:
                self._encoder = self._vectors = None

    def _wait_for_old_snapshots(self) -> None:
        until = time.monotonic() + _PATIENCE_SECONDS
        while self._snapshots.n_open > 1 and time.monotonic() < until:
            time.sleep(0.01)

    def _look(self) -> _Stamp:
        """Changes whenever any process commits."""
        return tuple(map(_moment_and_size, self._catalog_files()))

    def _log_bytes(self) -> int:
        _, log = self._catalog_files()
        return _moment_and_size(log)[1]

    def _catalog_files(self) -> tuple[Path, Path]:
        return Catalog.files(self.path)


def _models(settings: Mapping[str, Any]) -> tuple[str, str]:
    """What tells the document encoders of an index apart."""
    part = dense_part(settings)
    return settings["model_fingerprint"], part.fingerprint if part else ""


def _moment_and_size(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:  # the log comes and goes
        return 0, 0
    return found.st_mtime_ns, found.st_size
