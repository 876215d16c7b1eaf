"""Batches: to everyone their own answer; no kind waits for another."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparse_ir.server.batching import MOST_TOGETHER, Batches, Kind

ONE = Kind.of("fox", 10, "anchored", None, True)
OTHER = Kind.of("fox", 10, "lexical", {"a": ["b"]}, False)


class Searches:
    """Answers every query with itself, once let; knows what came together."""

    def __init__(self):
        self.batches = []
        self.may_answer = {ONE: threading.Event(), OTHER: threading.Event()}

    def __call__(self, kind, queries):
        self.batches.append((kind, len(queries)))
        assert self.may_answer[kind].wait(60)
        if kind is OTHER and "bad" in queries:
            raise ValueError("bad")
        return [query.encode() for query in queries]


def test_what_waits_is_answered_together():
    async def run():
        searches = Searches()
        with ThreadPoolExecutor(2) as executor:
            batches = Batches(searches, executor, is_quick=lambda kind: False)
            first = asyncio.create_task(batches.answer("first", ONE))
            await asyncio.sleep(0)
            rest = [asyncio.create_task(batches.answer(str(i), ONE)) for i in range(100)]
            await asyncio.sleep(0)
            rest[7].cancel()
            searches.may_answer[OTHER].set()
            assert await batches.answer("x", OTHER) == b"x"
            assert not first.done()
            searches.may_answer[ONE].set()
            assert await first == b"first"
            del rest[7]
            assert await asyncio.gather(*rest) == [str(i).encode() for i in range(100) if i != 7]
            assert await batches.answer("last", ONE) == b"last"
        return searches.batches

    found = asyncio.run(run())
    sizes = [size for kind, size in found if kind is ONE]
    assert sizes == [1, MOST_TOGETHER, 100 - MOST_TOGETHER, 1]


def test_what_is_quick_is_searched_on_the_loop_with_all_that_came_at_once():
    async def run():
        searches = Searches()
        searches.may_answer[ONE].set()
        batches = Batches(searches, executor=None, is_quick=lambda kind: True)
        asked = [asyncio.create_task(batches.answer(str(i), ONE)) for i in range(100)]
        await asyncio.sleep(0)
        asked[7].cancel()
        del asked[7]
        assert await asyncio.gather(*asked) == [str(i).encode() for i in range(100) if i != 7]
        assert await batches.answer("last", ONE) == b"last"
        return [size for _, size in searches.batches]

    assert asyncio.run(run()) == [MOST_TOGETHER, 100 - MOST_TOGETHER, 1]


@pytest.mark.parametrize("is_quick", [False, True])
def test_errors_reach_those_who_asked(is_quick):
    async def run():
        searches = Searches()
        for event in searches.may_answer.values():
            event.set()
        with ThreadPoolExecutor(2) as executor:
            batches = Batches(searches, executor, is_quick=lambda kind: is_quick)
            with pytest.raises(ValueError, match="bad"):
                await batches.answer("bad", OTHER)
            assert await batches.answer("good", OTHER) == b"good"

    asyncio.run(run())


def test_a_kind_keeps_its_filter():
    assert OTHER.filter == {"a": ["b"]}
    assert ONE.filter is None
    assert Kind.of("fox", 10, "lexical", "year > 1", True).filter == "year > 1"
