"""Searches that wait are made together: in a batch, a query costs half of what it costs alone.

While searches of one kind (k, mode, filter) are under way, further ones of that kind wait, and are
the next batch. So nobody waits where there is little to do, and the more there is, the larger the
batches. A slow kind, such as one with a new filter, holds up no other.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from sparse_ir.index.filters import Filter
from sparse_ir.retrieval.hybrid import HybridMode

MOST_TOGETHER = 64


@dataclass(frozen=True, slots=True)
class Kind:
    """What searches have in common that can be made together; the filter is JSON."""

    k: int
    mode: HybridMode | None
    filter_json: str
    with_text: bool

    @classmethod
    def of(cls, k: int, mode: HybridMode | None, filter: Filter | None, with_text: bool) -> Kind:
        """That of a search with these arguments."""
        return cls(k, mode, json.dumps(filter), with_text)

    @property
    def filter(self) -> Filter | None:
        """As it came."""
        found: Filter | None = json.loads(self.filter_json)
        return found


class Batches:
    """Gathers the searches of one event loop.

    Args:
        search: Answers queries of one kind, in their order; runs on another thread.
        executor: Of these threads.
    """

    def __init__(
        self, search: Callable[[Kind, Sequence[str]], Sequence[bytes]], executor: Executor
    ) -> None:
        self._search = search
        self._executor = executor
        self._waiting: dict[Kind, list[tuple[str, asyncio.Future[bytes]]]] = {}
        self._running: set[Kind] = set()

    async def answer(self, query: str, kind: Kind) -> bytes:
        """The answer to one query."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, []).append((query, future))
        if kind not in self._running:
            self._start(kind)
        return await future

    def _start(self, kind: Kind) -> None:
        waiting = self._waiting.pop(kind)
        batch, rest = waiting[:MOST_TOGETHER], waiting[MOST_TOGETHER:]
        if rest:
            self._waiting[kind] = rest
        self._running.add(kind)
        done = asyncio.get_running_loop().run_in_executor(
            self._executor, self._search, kind, [query for query, _ in batch]
        )
        done.add_done_callback(partial(self._finish, kind, [future for _, future in batch]))

    def _finish(
        self,
        kind: Kind,
        futures: Sequence[asyncio.Future[bytes]],
        done: asyncio.Future[Sequence[bytes]],
    ) -> None:
        self._running.remove(kind)
        if kind in self._waiting:
            self._start(kind)
        if error := done.exception():
            answers: Sequence[bytes | BaseException] = [error] * len(futures)
        else:
            answers = done.result()
        for future, answer in zip(futures, answers, strict=True):
            if future.done():  # who asked has gone
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
