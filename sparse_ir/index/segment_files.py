"""The segment files of an index as its writer keeps them: written, joined, and no others there.

In an index with a dense part each segment is two files, or three: the postings, the vectors, and
codes of the vectors if there are any. They are written and joined together under one name, which
the catalog's transaction makes known: so one commit covers them all.

Large segments are written, joined and reweighted on a thread of their own, so that neither adding
nor committing waits for them; the catalog learns of the result on the writer's thread. All segments
have BM25's weights under one average length, at any time: those that were reweighted take the place
of the others together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import dropwhile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sparse_ir._native import Segment, SegmentBuilder
from sparse_ir.files import sync_folder
from sparse_ir.index import dense_files, dense_segment, faiss_codes
from sparse_ir.index.bitsets import DocRows
from sparse_ir.index.catalog import Catalog, SegmentRow
from sparse_ir.index.compaction import (
    groups,
    most_gathered,
    most_rewritten,
    size_of,
    tail_to_merge,
)
from sparse_ir.index.dense_segment import DenseRows, DenseSegment, checked, holds
from sparse_ir.index.merge import Reweighting, Rows, merge
from sparse_ir.index.params import BuildParams, DensePart

# No others are touched: people keep files of their own in the folder of an index.
_OWN = re.compile(r"segment-[0-9]{6,}\.(sir|vec|faiss)(\.tmp)?")
_QUICK = 2**18  # size of what is joined within a commit: a few ms

Gathered = tuple[SegmentBuilder, DenseSegment | None]
"""The postings of some documents, and their vectors if the index has a dense part."""


@dataclass(frozen=True, slots=True)
class _Joined:
    """What became of the segments that were joined: a file, unless all was deleted."""

    row: SegmentRow
    gone: NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class _Coming:
    """A segment that is made on the other thread of these ones."""

    rows: list[SegmentRow]
    name: str
    result: Future[_Joined]


class SegmentFiles:
    """Segment files of one folder; to be used on the writer's thread.

    Args:
        first_number: Of the next new file.
        average_length: Under which BM25's weights of the segments are stored, 0 before the first.
        dense: The dense part, if the index has one.
    """

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        params: BuildParams,
        first_number: int,
        average_length: float,
        dense: DensePart | None = None,
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._params = params
        self._most_gathered = most_gathered(params.memory_mb)
        self.dense = dense
        self.next_number = first_number
        self.average_length = average_length
        # One thread: whatever waits for it, only one segment at a time is built in memory.
        self._thread = ThreadPoolExecutor(1, "sparse-ir-files")
        self._writing: Future[None] | None = None
        self._coming: list[_Coming] = []  # they take the places of their sources together
        self._reweighting: Reweighting | None = None  # of those that come
        self.remove_orphans()

    def write(
        self,
        make: Callable[[], Gathered],
        n_docs: int,
        n_postings: int,
    ) -> None:
        """A segment of what ``make`` gathers belongs to the index.

        A large one is on the disk when ``wait`` returns, which a second call does first. Of one
        that could not be written the documents are lost, so ``wait`` raises from then on: nothing
        is committed any more.
        """
        self.wait()
        row = SegmentRow(self._new_name(), n_docs, n_postings)
        path = self._folder / row.name

        def write() -> None:
            builder, vectors = make()
            builder.write(str(path))
            if vectors is not None and self.dense is not None:
                dense_files.write(path, self.dense, [vectors])

        self._catalog.add_segment(row)
        if _size(row) <= _QUICK:
            self._writing = _done(write)
            self.wait()
        else:
            self._writing = self._thread.submit(write)

    def write_dense(
        self,
        row: SegmentRow,
        part: DensePart,
        encode: Callable[[list[int]], DenseRows],
        *,
        goes_on: bool,
    ) -> None:
        """The vectors of a segment's documents, deleted ones left out, are beside its postings.

        Args:
            row: The segment.
            part: The dense part to be.
            encode: Gives the rows of documents by their numbers.
            goes_on: Whether what is there already is of this part, and may stay.
        """
        path = self._folder / row.name
        if goes_on and path.with_suffix(dense_segment.SUFFIX).is_file():
            if not path.with_suffix(faiss_codes.SUFFIX).is_file():
                dense_files.write_codes(path, part)
            return
        segment = self._open(row)
        docs = segment.doc_numbers
        docs = docs[~holds(self._deleted_of([row]), docs)]
        rows = checked(encode(docs.tolist()), len(docs), part.dimension)
        dense_files.write(path, part, [DenseSegment.of([(docs, rows)])])

    def remove_dense(self) -> None:
        """Nothing is left, after a power cut either, of a dense part that was begun."""
        for row in self._catalog.segments():
            dense_files.remove(self._folder / row.name)
        sync_folder(self._folder)

    def wait(self) -> None:
        """All that ``write`` promised is on the disk.

        Raises:
            OSError: it could not be written; every later call says so too.
            Exception: what ``rewrite_from`` called failed; likewise.
        """
        if self._writing is not None:
            self._writing.result()
            self._writing = None

    def open_all(self) -> list[Segment]:
        """Every segment, opened, oldest first."""
        self.wait()
        return [self._open(row) for row in self._catalog.segments()]

    def open_dense(self) -> dense_files.Opened:
        """The vectors of every segment, and their codes, oldest first."""
        self.wait()
        if self.dense is None:
            return [], []
        return dense_files.open_all(self._folder, self._catalog.segments(), self.dense)

    # joining

    def merge_quickly(self) -> None:
        """Small segments at the end are joined, as far as that takes a few milliseconds."""
        self.wait()
        self.adopt()
        while (tail := self._tail()) and sum(map(_size, tail)) <= _QUICK:
            self._exchange(tail, self._join_now(tail))

    def reserve(self, reweighting: Reweighting | None, *, drops: bool) -> Callable[[], None]:
        """Chooses what the other thread is to join; call the result after the commit to start.

        Args:
            reweighting: All segments want this, unless they are few and small; None joins some.
            drops: All that hold deleted documents want to be without.
        """
        wanted, parts = None, []
        if not self._coming and reweighting is not None:
            wanted, parts = reweighting, self._parts(self._catalog.segments())
        elif not self._coming and drops:
            parts = self._changing(self._parts(self._catalog.segments()))
        elif not self._coming:
            parts = [tail] if (tail := self._tail()) else []
        elif self._reweighting is not None and all(one.result.done() for one in self._coming):
            wanted, parts = self._reweighting, self._parts(self._after_coming())
        chosen = [(part, self._new_name(), self._deleted_of(part)) for part in parts]
        return lambda: self._start(chosen, wanted)

    def _start(
        self,
        chosen: list[tuple[list[SegmentRow], str, NDArray[np.uint64]]],
        reweighting: Reweighting | None,
    ) -> None:
        if not chosen:
            return
        # Documents whose deletion is not committed yet may come back: they need lengths too.
        snapshot = Catalog.open_snapshot(self._folder)
        committed = reweighting and replace(reweighting, n_words_of=snapshot.lengths)
        for rows, name, deleted in chosen:
            result = self._thread.submit(self._join, name, rows, deleted, committed)
            self._coming.append(_Coming(rows, name, result))
        self._thread.submit(snapshot.close)
        self._reweighting = reweighting

    def adopt(self, *, wait: bool = False) -> bool:
        """Whether what the other thread joined, if done, took the place of its sources.

        What it reweights does so when the segments that came meanwhile can be reweighted in a few
        milliseconds, or are one: a writer of large commits alone would never get there otherwise,
        and reweighting its last one costs about what writing it did.
        """
        coming, reweighting = self._coming, self._reweighting
        if not coming or not (wait or all(one.result.done() for one in coming)):
            return False
        newer = [] if reweighting is None else self._after_coming()
        if not wait and len(newer) > 1 and sum(map(_size, newer)) > _QUICK:
            return False
        self._coming, self._reweighting = [], None
        joined = [(one.rows, one.result.result()) for one in coming]
        joined += [(part, self._join_now(part, reweighting)) for part in self._parts(newer)]
        for rows, one in joined:
            self._exchange(rows, one)
        if reweighting is not None:
            self.average_length = reweighting.new_average
        return True

    def is_small(self) -> bool:
        """Whether rewriting all segments takes a few milliseconds."""
        return sum(map(_size, self._catalog.segments())) <= _QUICK

    def n_rows(self) -> int:
        """Documents that are stored, the deleted ones included."""
        return sum(row.n_docs for row in self._catalog.segments())

    def rewrite(self, reweighting: Reweighting | None) -> None:
        """As few segments as memory allows hold the living documents, reweighted.

        Segments at the beginning that would come out as they went in stay.
        """
        self.wait()
        if self._reweighting is None:
            self.adopt(wait=True)
        else:
            self.abandon()
        parts = self._parts(self._catalog.segments(), most_rewritten(self._params.memory_mb))
        if reweighting is None:
            parts = self._changing(parts)
        # None is exchanged before all are made: else a full disk left them under two averages.
        joined = [(part, self._join_now(part, reweighting)) for part in parts]
        for part, one in joined:
            self._exchange(part, one)
        if reweighting is not None:
            self.average_length = reweighting.new_average

    def rewrite_from(self, first: int, change: Callable[[Rows], Iterable[Rows]]) -> None:
        """Segments of documents numbered ``first`` or more are as ``change`` makes them.

        Where that fails half way, ``wait`` raises from then on, as after ``write``.
        """
        self.wait()
        self.adopt(wait=True)

        def rewrite() -> None:
            for row in self._catalog.segments():
                if DocRows.of(self._open(row)).span()[1] >= first:
                    dropped = self._deleted_of([row])
                    joined = self._join(self._new_name(), [row], dropped, change=change)
                    self._exchange([row], joined)

        self._writing = _done(rewrite)
        self.wait()

    # the folder

    def remove_orphans(self) -> None:
        """No files are left but those of the index, and of a merge that is under way."""
        _remove(self._orphans())

    def remove_orphans_later(self) -> None:
        """As ``remove_orphans``, on the other thread: removing eight files can take 30 ms."""
        if orphans := self._orphans():
            self._thread.submit(_remove, orphans)

    def close(self) -> None:
        """Nothing is being written any more."""
        self._thread.shutdown()

    @property
    def has_failed(self) -> bool:
        """Whether a segment could not be written; to be asked when closed."""
        return self._writing is not None and self._writing.exception() is not None

    def abandon(self) -> None:
        """What the other thread joins is not wanted any more."""
        for one in self._coming:
            one.result.exception()  # waits
        self._coming, self._reweighting = [], None

    # inside

    def _orphans(self) -> list[Path]:
        kept = {_stem(row.name) for row in self._catalog.segments()}
        kept |= {_stem(one.name) for one in self._coming}
        found = own_files(self._folder)
        return [file for file in found if _stem(file.name) not in kept and file.is_file()]

    def _tail(self) -> list[SegmentRow]:
        """Segments at the end that should be joined, those apart that are being joined."""
        rows = self._after_coming()
        start = tail_to_merge([_size(row) for row in rows], self._most_gathered)
        return [] if start is None else rows[start:]

    def _after_coming(self) -> list[SegmentRow]:
        """Segments behind those of which others come; all if none comes."""
        rows = self._catalog.segments()
        return rows[rows.index(self._coming[-1].rows[-1]) + 1 :] if self._coming else rows

    def _parts(self, rows: list[SegmentRow], most: int | None = None) -> list[list[SegmentRow]]:
        """Neighbours that may become one: while others are gathered, if ``most`` is not given."""
        sizes = [_size(row) for row in rows]
        return [rows[one] for one in groups(sizes, most or self._most_gathered)]

    def _changing(self, parts: list[list[SegmentRow]]) -> list[list[SegmentRow]]:
        """The first part that would not come out as it went in, and all behind it.

        New names are greater than all others, and the order of the names is that of the documents.
        """
        return list(dropwhile(lambda part: len(part) == 1 and not self._has_deleted(part), parts))

    def _has_deleted(self, rows: list[SegmentRow]) -> bool:
        return len(self._deleted_of(rows)) > 0

    def _deleted_of(self, rows: list[SegmentRow]) -> NDArray[np.uint64]:
        """Deleted documents that these segments may hold, ascending."""
        spans = [DocRows.of(self._open(row)).span() for row in rows]
        first, last = min(first for first, _ in spans), max(last for _, last in spans)
        return np.array(self._catalog.deletions(first, last), np.uint64)

    def _join_now(self, rows: list[SegmentRow], reweighting: Reweighting | None = None) -> _Joined:
        return self._join(self._new_name(), rows, self._deleted_of(rows), reweighting)

    def _join(
        self,
        name: str,
        rows: list[SegmentRow],
        deleted: NDArray[np.uint64],
        reweighting: Reweighting | None = None,
        change: Callable[[Rows], Iterable[Rows]] = lambda rows: [rows],
    ) -> _Joined:
        segments = [self._open(row) for row in rows]
        merged = merge(segments, deleted, self._params, reweighting, change)
        if merged.builder.n_docs:
            merged.builder.write(str(self._folder / name))
            if self.dense is not None and len(rows) == 1 and not len(merged.gone):
                dense_files.share(self._folder / rows[0].name, self._folder / name)
            elif self.dense is not None:
                halves = [dense_files.open_vectors(self._folder / row.name) for row in rows]
                dense_files.write(self._folder / name, self.dense, halves, merged.gone)
        row = SegmentRow(name, merged.builder.n_docs, merged.builder.n_postings)
        return _Joined(row, merged.gone)

    def _exchange(self, rows: list[SegmentRow], joined: _Joined) -> None:
        self._catalog.remove_segments([row.name for row in rows])
        self._catalog.forget_deletions(joined.gone.tolist())
        if joined.row.n_docs:
            self._catalog.add_segment(joined.row)

    def _open(self, row: SegmentRow) -> Segment:
        return Segment.open(str(self._folder / row.name))

    def _new_name(self) -> str:
        name = f"segment-{self.next_number:06d}.sir"
        self.next_number += 1
        return name


def own_files(folder: Path) -> list[Path]:
    """What has the name of a segment's file, or of one that is being written."""
    return [path for path in folder.iterdir() if _OWN.fullmatch(path.name)]


def _done(work: Callable[[], None]) -> Future[None]:
    """Of work done here and now, as of that on another thread."""
    future: Future[None] = Future()
    try:
        work()
    except BaseException as error:  # what was interrupted is not done either
        future.set_exception(error)
    else:
        future.set_result(None)
    return future


def _stem(name: str) -> str:
    return name.split(".", 1)[0]


def _size(row: SegmentRow) -> int:
    return size_of(row.n_docs, row.n_postings)


def _remove(files: list[Path]) -> None:
    for file in files:
        file.unlink(missing_ok=True)
