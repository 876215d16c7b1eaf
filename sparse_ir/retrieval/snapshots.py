"""Snapshots: a retriever that may be replaced while others search with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, NoReturn, Protocol, TypeVar

from sparse_ir.errors import InvalidInputError


class Closable(Protocol):
    """What is open until it is closed, as every retriever."""

    def close(self) -> None:
        """Its files are closed."""
        ...


R = TypeVar("R", bound=Closable)


@dataclass(eq=False, slots=True)
class _Opened(Generic[R]):
    retriever: R
    users: int = 1  # it counts as its own user as long as it is the current one


def _none() -> NoReturn:
    raise InvalidInputError("the index is closed; open it again")


class Snapshots(Generic[R]):
    """A retriever of which each is closed when it was replaced and its last reader has left.

    Safe to share between threads.

    Args:
        retriever: Used first; these close it.
        opening: Called by ``use`` where there is no retriever; None refuses.
    """

    def __init__(
        self, retriever: R | None = None, *, opening: Callable[[], R] | None = None
    ) -> None:
        self._lock = threading.Lock()
        self._opening = opening or _none
        self._n_open = 0
        self._current: _Opened[R] | None = None
        self.replace(retriever)

    @contextmanager
    def use(self) -> Iterator[R]:
        """The current retriever; it stays open inside the ``with`` block.

        Raises:
            InvalidInputError: there is none, and nothing that opens one.
        """
        with self._lock:
            if self._current is None:
                self._current = self._counted(self._opening())
            opened = self._current
            opened.users += 1
        try:
            yield opened.retriever
        finally:
            self._let_go(opened)

    def replace(self, retriever: R | None) -> None:
        """Whoever comes later gets this one; None is one that is opened when first used."""
        with self._lock:
            before, self._current = self._current, None
            if retriever is not None:
                self._current = self._counted(retriever)
        if before is not None:
            self._let_go(before)

    @property
    def n_open(self) -> int:
        """The current retriever, and those before it that are still read."""
        return self._n_open

    def _counted(self, retriever: R) -> _Opened[R]:
        self._n_open += 1
        return _Opened(retriever)

    def _let_go(self, opened: _Opened[R]) -> None:
        with self._lock:
            opened.users -= 1
            if opened.users:
                return
            self._n_open -= 1
        opened.retriever.close()
