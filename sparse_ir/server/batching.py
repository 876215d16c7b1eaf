"""Searches that wait are made together: in a batch, a query costs half of what it costs alone.

While searches of one kind (k, mode, filter, long or short) are under way, further ones of that kind
wait, and are the next batch. So nobody waits where there is little to do, and the more there is,
the larger the batches. A slow kind, such as one with a new filter, holds up no other. A quick kind
is searched on the event loop itself: to hand it to another thread and back would cost as much as
the search.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

from sparse_ir.index.filters import Filter
from sparse_ir.retrieval.hybrid import HybridMode

MOST_TOGETHER = 64
LONG_FROM = 200  # characters of a query: some thirty words, each of which takes its time


@dataclass(frozen=True, slots=True)
class Kind:
    """What searches have in common that can be made together; the filter is JSON."""

    k: int
    mode: HybridMode | None
    filter_json: str
    with_text: bool
    is_long: bool

    @classmethod
    def of(
        cls, query: str, k: int, mode: HybridMode | None, filter: Filter | None, with_text: bool
    ) -> Kind:
        """That of a search with these arguments."""
        return cls(k, mode, json.dumps(filter), with_text, len(query) >= LONG_FROM)

    @property
    def filter(self) -> Filter | None:
        """As it came."""
        found: Filter | None = json.loads(self.filter_json)
        return found


class Batches:
    """Gathers the searches of one event loop.

    Args:
        search: Answers queries of one kind, in their order.
        executor: Of the threads that search what is not quick.
        is_quick: Whether searches of a kind take well below a millisecond each.
    """

    def __init__(
        self,
        search: Callable[[Kind, Sequence[str]], Sequence[bytes]],
        executor: Executor,
        is_quick: Callable[[Kind], bool],
    ) -> None:
        self._search = search
        self._executor = executor
        self._is_quick = is_quick
        self._waiting: dict[Kind, list[tuple[str, asyncio.Future[bytes]]]] = {}
        self._running: set[Kind] = set()

    async def answer(self, query: str, kind: Kind) -> bytes:
        """The answer to one query."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(kind, []).append((query, future))
        if kind not in self._running:
            self._running.add(kind)
            self._start(kind)
        return await future

    def _start(self, kind: Kind) -> None:
        if self._is_quick(kind):  # soon: once the requests that are there have been read
            asyncio.get_running_loop().call_soon(self._search_here, kind)
        else:
            self._search_elsewhere(kind)

    def _search_here(self, kind: Kind) -> None:
        queries, futures = self._next_batch(kind)
        try:
            answers: Sequence[bytes] | BaseException = self._search(kind, queries)
        except Exception as error:
            answers = error
        self._finish(kind, futures, answers)

    def _search_elsewhere(self, kind: Kind) -> None:
        queries, futures = self._next_batch(kind)

        def finish(done: asyncio.Future[Sequence[bytes]]) -> None:
            self._finish(kind, futures, done.exception() or done.result())

        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, self._search, kind, queries)
        done.add_done_callback(finish)

    def _next_batch(self, kind: Kind) -> tuple[list[str], list[asyncio.Future[bytes]]]:
        waiting = self._waiting.pop(kind)
        batch, rest = waiting[:MOST_TOGETHER], waiting[MOST_TOGETHER:]
        if rest:
            self._waiting[kind] = rest
        return [query for query, _ in batch], [future for _, future in batch]

    def _finish(
        self,
        kind: Kind,
        futures: Sequence[asyncio.Future[bytes]],
        answers: Sequence[bytes] | BaseException,
    ) -> None:
        if kind in self._waiting:
            self._start(kind)
        else:
            self._running.remove(kind)
        for at, future in enumerate(futures):
            if future.done():  # who asked has gone
                continue
            if isinstance(answers, BaseException):
                future.set_exception(answers)
            else:
                future.set_result(answers[at])
