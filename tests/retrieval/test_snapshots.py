"""Snapshots: no retriever is closed while it is read, and none stays open for ever."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest

from sparse_ir.errors import InvalidInputError
from sparse_ir.retrieval.snapshots import Snapshots


class Opened:
    """Counts how often it was closed."""

    def __init__(self, number: int = 0) -> None:
        self.number = number
        self.n_closed = 0

    def close(self) -> None:
        self.n_closed += 1


def test_the_last_reader_closes_what_was_replaced():
    old, new = Opened(), Opened()
    snapshots = Snapshots(old)
    with snapshots.use() as first, snapshots.use() as second:
        assert first is second is old
        snapshots.replace(new)
        assert snapshots.n_open == 2
        with snapshots.use() as third:
            assert third is new
        assert (old.n_closed, new.n_closed) == (0, 0)
    assert (old.n_closed, new.n_closed) == (1, 0)
    assert snapshots.n_open == 1


def test_what_nobody_reads_is_closed_when_it_is_replaced():
    old = Opened()
    snapshots = Snapshots(old)
    snapshots.replace(None)
    assert (old.n_closed, snapshots.n_open) == (1, 0)
    snapshots.replace(None)
    with pytest.raises(InvalidInputError, match="closed"), snapshots.use():
        pass


def test_it_is_opened_once_when_first_used_and_once_after_it_was_dropped():
    opened = []

    def opening():
        opened.append(Opened())
        return opened[-1]

    snapshots = Snapshots(opening=opening)
    assert opened == []
    for n in (1, 2):
        for _ in range(3):
            with snapshots.use() as one:
                assert one is opened[-1]
        assert len(opened) == n
        snapshots.replace(None)
    assert [one.n_closed for one in opened] == [1, 1]


def test_an_opening_that_failed_is_tried_again():
    answers = iter([OSError("busy"), Opened()])

    def opening():
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    snapshots = Snapshots(opening=opening)
    with pytest.raises(OSError, match="busy"), snapshots.use():
        pass
    with snapshots.use() as one:
        assert one.n_closed == 0
    assert snapshots.n_open == 1


def test_a_reader_that_fails_leaves_too():
    old = Opened()
    snapshots = Snapshots(old)
    with pytest.raises(KeyError), snapshots.use():
        snapshots.replace(None)
        raise KeyError
    assert old.n_closed == 1


@pytest.mark.parametrize("is_lazy", [False, True])
def test_readers_and_replacers_at_once(is_lazy):
    """Readers never meet a closed one, nor an older one than was current when they came."""
    numbers, opened, making = count(), [], threading.Lock()
    stop = threading.Event()

    def opening():
        with making:
            opened.append(Opened(next(numbers)))
            return opened[-1]

    snapshots = Snapshots(opening=opening) if is_lazy else Snapshots(opening())

    def read():
        n, last = 0, -1
        while not stop.is_set():
            with snapshots.use() as one, snapshots.use() as nested:
                assert last <= one.number <= nested.number
                last = one.number
                time.sleep(0.0001)
                assert (one.n_closed, nested.n_closed) == (0, 0)
            n += 1
        return n

    def replace():
        for _ in range(500):
            snapshots.replace(None if is_lazy else opening())
            time.sleep(0.0001)

    with ThreadPoolExecutor(7) as pool:
        readers = [pool.submit(read) for _ in range(6)]
        pool.submit(replace).result(60)
        stop.set()
        assert all(reader.result(60) > 0 for reader in readers)
    assert snapshots.n_open <= 1
    snapshots.replace(None)
    assert snapshots.n_open == 0
    assert len(opened) > 1
    assert {one.n_closed for one in opened} == {1}
