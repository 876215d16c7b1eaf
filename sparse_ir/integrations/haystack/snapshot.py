"""A retriever for the index as last committed, for a store that writes between searches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sparse_ir.retrieval.retriever import SparseRetriever


@dataclass
class _Opened:
    retriever: SparseRetriever
    users: int = 0
    is_current: bool = True

    def close_if_done(self) -> None:
        if not self.users and not self.is_current:
            self.retriever.close()


class Snapshot:
    """Opens a retriever when it is first used, and anew after ``refresh``; safe between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._opened: _Opened | None = None

    @contextmanager
    def use(self) -> Iterator[SparseRetriever]:
        """The retriever stays open inside the ``with`` block, whoever writes meanwhile."""
        with self._lock:
            if self._opened is None:
                self._opened = _Opened(SparseRetriever.open(self._path))
            opened = self._opened
            opened.users += 1
        try:
            yield opened.retriever
        finally:
            with self._lock:
                opened.users -= 1
                opened.close_if_done()

    def refresh(self) -> None:
        """Who comes from now on sees what was committed; who is searching goes on undisturbed."""
        with self._lock:
            opened, self._opened = self._opened, None
            if opened is not None:
                opened.is_current = False
                opened.close_if_done()
