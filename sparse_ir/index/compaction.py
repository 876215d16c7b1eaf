"""Which segments are joined, when, and by whom: few segments, each document rewritten rarely.

Source: O'Neil et al. 1996, "The log-structured merge-tree" (tiers); Lucene's LogMergePolicy (levels
over neighbours, so that doc numbers stay ascending).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

_TIER = 8  # segments of one size that are joined, and the growth from one size to the next
_SMALLEST = 4096  # below, all segments count as of one size
PEAK_BYTES = 28  # a posting: 8 gathered, 8 + 8 as it goes over to the builder; 26 were measured
_ALONE_BYTES = 20  # where nothing is gathered: 18 were measured, 9 of them mapped files
_DOCUMENT = 4  # postings whose memory a document takes, beside its own postings


def size_of(n_docs: int, n_postings: int) -> int:
    """Size of a segment, counted in the postings whose memory building it takes."""
    return n_postings + _DOCUMENT * n_docs


def most_gathered(memory_mb: int) -> int:
    """Size of the greatest segment built in so much memory while the next is gathered."""
    return memory_mb * 2**20 // PEAK_BYTES


def most_rewritten(memory_mb: int) -> int:
    """Size of the greatest segment built in so much memory while nothing else is."""
    return memory_mb * 2**20 // _ALONE_BYTES


def tail_to_merge(sizes: Sequence[int], most: int | None = None) -> int | None:
    """Where the tail of segments begins that should become one, None if all may stay.

    Eight segments of like size at the end, and the smaller ones between them, are joined: so at
    most seven a size remain, and a document is rewritten about once a size, log8(N) times in all.

    Args:
        sizes: Of each segment, oldest first.
        most: Nothing greater than this is made.
    """
    # One that a greater one follows counts as of its size: it can only go together with it.
    levels = [_level(size) for size in list(accumulate(reversed(sizes), max))[::-1]]
    for level in sorted(set(levels)):
        tail = levels.index(level)
        if levels.count(level) < _TIER:
            continue
        while most is not None and sum(sizes[tail:]) > most:
            tail += 1
        if len(sizes) - tail >= _TIER:
            return tail
    return None


def groups(sizes: Sequence[int], most: int) -> list[slice]:
    """Neighbours that together are no greater than ``most``, as few groups as there can be."""
    result, start, total = [], 0, 0
    for i, size in enumerate(sizes):
        if i > start and total + size > most:
            result.append(slice(start, i))
            start, total = i, 0
        total += size
    return [*result, slice(start, len(sizes))] if sizes else []


def _level(size: int) -> int:
    level = 0
    while size >= _SMALLEST * _TIER**level:
        level += 1
    return level
