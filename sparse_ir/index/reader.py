"""Index: a snapshot of an index, opened for searching; many may be open while one writer works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir import _native
from sparse_ir.corpus import Document
from sparse_ir.errors import IndexFormatError, InvalidInputError, VocabularyMismatchError
from sparse_ir.hits import Hits
from sparse_ir.index import dense_files, recall
from sparse_ir.index.bitsets import Bitset, DocRows, cleared
from sparse_ir.index.catalog import Catalog
from sparse_ir.index.dense import DenseIndex
from sparse_ir.index.filters import Filter, compile_filter
from sparse_ir.index.params import Approximate, DensePart, Exact
from sparse_ir.index.passages import StoredPassage, from_row, spans_of
from sparse_ir.index.recall import RecallCurves
from sparse_ir.index.selector import Selector
from sparse_ir.index.verify import verify
from sparse_ir.vectors import TermWeights, as_term_weights

EXACT = Exact()
_VERIFY_BYTES = 4 * 2**20  # of segments that are read whole at opening: a few ms
_OPEN_ATTEMPTS = 5

TermCounts = tuple[NDArray[np.uint32], NDArray[np.int64]]
"""(m,) terms, ascending, and how often each was counted."""


class Index:
    """An opened index. Safe to share between threads; close it, or use it in a ``with`` block.

    Made by ``open`` or by ``IndexWriter.index``.
    """

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        segments: Sequence[_native.Segment],
        dense: dense_files.Opened | None = None,
        *,
        is_snapshot: bool = True,
    ) -> None:
        self.path = folder
        self._catalog = catalog
        self._is_snapshot = is_snapshot  # else the catalog is a writer's, which may change it
        self._is_closed = False
        self._segments = list(segments)
        self._settings = catalog.settings()
        self._rows = [DocRows.of(segment) for segment in self._segments]
        self._selector = Selector(catalog, self._rows, dense[0] if dense else ())
        self._dense: DenseIndex | None = None
        if (part := dense_part(self._settings)) and dense:
            self._dense = DenseIndex(
                catalog, self._selector, *dense, part.dimension, is_snapshot=is_snapshot
            )
        self._deleted_terms: tuple[list[Bitset | None], TermCounts] | None = None

    @classmethod
    def open(cls, path: str | Path) -> Index:
        """The index in the folder ``path``, as last committed.

        Segments are memory mapped. Of all of them the header and the sizes are checked, and the
        first 4 MiB of them whole (``verify`` checks the rest).

        Raises:
            InvalidInputError: there is no index.
            IndexFormatError: a file is corrupt, truncated, or from an unknown version.
        """
        folder = Path(path)
        for attempt in count(1):
            catalog = Catalog.open_snapshot(folder)
            try:
                return cls(
                    folder, catalog, _open_segments(folder, catalog), _open_dense(folder, catalog)
                )
            except FileNotFoundError as error:
                # A writer may merge segments away between our look at the catalog and here.
                catalog.close()
                if attempt == _OPEN_ATTEMPTS:
                    raise IndexFormatError(
                        f"{error.filename} is missing; build the index anew"
                    ) from error
            except BaseException:
                catalog.close()
                raise
        raise AssertionError("unreachable")

    def close(self) -> None:
        """The snapshot is given up."""
        self._is_closed = True
        if self._is_snapshot:
            self._catalog.close()
        self._segments.clear()
        self._rows.clear()
        self._selector.release()
        if self._dense is not None:
            self._dense.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # search

    def search(
        self,
        queries: TermWeights,
        k: int = 10,
        *,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
        filter: Filter | None = None,
    ) -> Hits:
        """The k best documents of each query.

        Args:
            queries: (Q, n_terms) term weights; in an index of text, columns from the learned
                block's size on are word numbers.
            k: Hits wanted a query, >= 1; where fewer can be found, ``Hits`` are narrower.
            plan: ``Exact()``, ``Approximate(recall=.99)`` or ``Approximate(bound_share=.9)``.
            threads: Queries searched at once, >= 1.
            filter: Only documents whose metadata match (see ``index.filters``).

        Raises:
            InvalidInputError: a bad argument, an unknown field in the filter, a recall of an index
                that was never tuned, or the index is closed.
            VocabularyMismatchError: the queries have more or fewer terms than the index.
        """
        matrix = as_term_weights(queries)
        self._require_known_terms(matrix.shape[1])
        return self.search_terms(
            matrix.indptr, matrix.indices, matrix.data, k, plan=plan, threads=threads, filter=filter
        )

    def search_terms(
        self,
        indptr: NDArray[Any],
        terms: NDArray[Any],
        weights: NDArray[np.float32],
        k: int,
        *,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
        filter: Filter | None = None,
    ) -> Hits:
        """As ``search``, for queries given as the three arrays of a CSR batch, already checked."""
        self._require_open()
        _require_positive("k", k)
        _require_positive("threads", threads)
        bound_shares = self._bound_shares(plan, k, indptr)
        while True:
            docs, scores, counts = _native.search(
                self._segments,
                self._selector.select(filter).bits,
                indptr.astype(np.int64, copy=False),
                terms.astype(np.uint32, copy=False),
                weights,
                k,
                plan.algorithm if isinstance(plan, Exact) else "auto",
                threads,
                bound_shares,
            )
            if self._is_snapshot:
                return Hits(docs, scores, counts, self._catalog.doc_ids)
            if lookup := self._catalog.looked_up(docs):
                return Hits(docs, scores, counts, lookup)

    @cached_property
    def recall_curves(self) -> RecallCurves | None:
        """What tuning has measured; None before."""
        values = self._settings.get(recall.SETTING)
        return None if values is None else RecallCurves.from_setting(values)

    @property
    def has_dense(self) -> bool:
        """Whether the index has a dense part."""
        return self._dense is not None

    @property
    def dense(self) -> DenseIndex:
        """The dense part.

        Raises:
            InvalidInputError: there is none.
        """
        if self._dense is None:
            raise InvalidInputError(
                f"{self.path} has no dense part; add one with: sparse-ir index --dense SOURCE"
            )
        return self._dense

    # what is in it

    def __len__(self) -> int:
        """Documents."""
        return int(self._settings["n_docs"])

    def __contains__(self, doc_id: str) -> bool:
        return bool(self._catalog.documents([doc_id]))

    @property
    def settings(self) -> Mapping[str, Any]:
        """What the index keeps of how it was made."""
        return self._settings

    @property
    def n_terms(self) -> int:
        """Size of the learned block; lexical terms are numbered behind it."""
        return int(self._settings["n_terms"])

    @property
    def n_words(self) -> int:
        """Size of the lexical block: different words that any document ever had."""
        return int(self._settings["lexicon_size"])

    def document(self, doc_id: str) -> Document:
        """The document as it was added (without text if it was added as a vector).

        Raises:
            InvalidInputError: unknown doc_id.
        """
        doc = self.doc_number(doc_id)
        return self.documents([doc])[doc]

    def documents(self, docs: Sequence[int]) -> dict[int, Document]:
        """doc number -> document."""
        doc_ids = self._catalog.doc_ids(docs)
        return {
            doc: Document(doc_ids[doc], text, title=title, metadata=metadata)
            for doc, (title, text, metadata) in self._catalog.contents(docs).items()
        }

    def doc_ids(self, docs: Sequence[int]) -> dict[int, str]:
        """Doc number -> doc_id."""
        return self._catalog.doc_ids(docs)

    def matching(self, filter: Filter | None = None) -> NDArray[np.uint64]:
        """Numbers of the documents whose metadata match, or of all; ascending: as they were added.

        Raises:
            InvalidInputError: not a filter, or an unknown field.
        """
        return self._catalog.matching(*compile_filter(filter or {}, self._catalog.fields()))

    def doc_number(self, doc_id: str) -> int:
        """The document's number in this snapshot.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        row = self._catalog.documents([doc_id]).get(doc_id)
        if row is None:
            raise InvalidInputError(f"no document {doc_id!r} in {self.path}; want a known doc_id")
        return row.doc

    @cached_property
    def has_passages(self) -> bool:
        """Whether any document has several passages."""
        return self._catalog.has_passages()

    def passages(self, docs: Sequence[int]) -> dict[int, list[StoredPassage]]:
        """doc number -> its passages in order, of those documents that have several."""
        return {row[0]: from_row(row) for row in self._catalog.passages(docs)}

    def passage_spans(self, docs: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """doc number -> where in its text each passage begins and ends; as ``passages``."""
        return spans_of(self._catalog.passage_places(docs))

    def rank_by_best_passage(
        self,
        docs: NDArray[np.int64],
        bounds: NDArray[np.float32],
        terms: NDArray[np.uint32],
        weights: NDArray[np.float32],
    ) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int32]]:
        """(n,) documents, scores and passage numbers, best first by what best passages score.

        Args:
            docs: (n,) doc numbers.
            bounds: (n,) scores that count each learned term with its greatest weight in any
                passage; those of documents that are one passage stay, and their number is -1.
            terms: (m,) learned terms of the query, ascending.
            weights: (m,) weights of the query.

        Raises:
            IndexFormatError: what is stored of a passage is damaged.
        """
        rows = self._catalog.passages(docs.tolist())
        return _native.rank_by_best_passage(docs, bounds, rows, terms, weights)

    def vector(self, doc_id: str) -> TermWeights:
        """(1, n_terms + n_words) the document's stored weights, in both blocks.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        return self.vectors(np.array([self.doc_number(doc_id)], np.uint64))

    def sampled_vectors(self, n: int, seed: int = 0) -> tuple[list[int], TermWeights]:
        """As a batch of ``stored_vectors``, for any n of the living documents, or for all."""
        _require_positive("n", n)
        docs = self._catalog.matching("1", [])
        chosen = np.sort(np.random.default_rng(seed).permutation(docs)[:n])
        return chosen.tolist(), self.vectors(chosen)

    def vectors(self, docs: NDArray[np.uint64]) -> TermWeights:
        """(n, n_terms + n_words) the stored weights of documents, as ``vector`` gives one's.

        Args:
            docs: (n,) doc numbers, ascending.

        Raises:
            IndexFormatError: no segment holds one of them.
        """
        self._require_open()
        parts = [sp.csr_array((0, self.n_terms + self.n_words), dtype=np.float32)]
        row_of, n_found = np.full(len(docs), -1, np.int64), 0
        for segment, rows in zip(self._segments, self._rows, strict=True):
            own = rows.find(docs)
            row_of[np.searchsorted(docs, segment.doc_numbers[own])] = n_found + np.arange(len(own))
            n_found += len(own)
            parts.append(self._weights_of(segment, own))
        if (row_of < 0).any():
            missing = int(docs[np.flatnonzero(row_of < 0)[0]])
            raise IndexFormatError(
                f"{self.path}: no segment holds document number {missing}; build the index anew"
            )
        return sp.vstack(parts, format="csr")[row_of]

    def stored_vectors(self, batch_size: int = 1024) -> Iterator[tuple[list[int], TermWeights]]:
        """(doc numbers, (n, n_terms + n_words) their stored weights) of all living documents.

        Batches come in the order of the doc numbers, each of up to ``batch_size`` documents.
        """
        self._require_open()
        _require_positive("batch_size", batch_size)
        for segment, living in zip(self._segments, self._selector.select().bits, strict=True):
            rows = np.arange(segment.n_docs, dtype=np.uint32)
            if living is not None:
                rows = rows[~np.isin(rows, cleared(living, segment.n_docs))]
            for start in range(0, len(rows), batch_size):
                chosen = rows[start : start + batch_size]
                yield segment.doc_numbers[chosen].tolist(), self._weights_of(segment, chosen)

    def fields(self) -> list[str]:
        """Names of the metadata fields that any document ever had, sorted."""
        return sorted(self._catalog.fields())

    def term_names(self) -> list[str]:
        """Names of the learned terms by number; empty if the index does not keep them."""
        return self._catalog.term_names()

    def word_numbers(self, words: Sequence[str]) -> dict[str, int]:
        """The known ones of these analysed words -> their term numbers, behind ``n_terms``."""
        numbers = self._catalog.word_numbers(words)
        return {word: self.n_terms + number for word, number in numbers.items()}

    def words(self, terms: Sequence[int]) -> dict[int, str]:
        """Term numbers of the lexical block -> words."""
        found = self._catalog.words([term - self.n_terms for term in terms])
        return {self.n_terms + number: word for number, word in found.items()}

    def document_frequencies(self, terms: NDArray[np.uint32]) -> NDArray[np.int64]:
        """(m,) in how many documents each of (m,) terms occurs, deleted ones not counted."""
        self._require_open()
        total = np.zeros(len(terms), np.int64)
        for segment in self._segments:
            total += segment.document_frequencies(terms)
        gone_terms, gone = self._deleted_frequencies()
        if len(gone_terms):
            at = np.minimum(np.searchsorted(gone_terms, terms), len(gone_terms) - 1)
            total -= np.where(gone_terms[at] == terms, gone[at], 0)
        return total

    def info(self) -> dict[str, Any]:
        """Counts, sizes and settings, as plain values."""
        segments: list[dict[str, Any]] = [
            {
                "file": Path(segment.path).name,
                "documents": segment.n_docs,
                "terms": segment.n_terms,
                "postings": segment.n_postings,
                "bytes": segment.n_bytes,
            }
            for segment in self._segments
        ]
        postings = sum(one["postings"] for one in segments)
        n_bytes = sum(one["bytes"] for one in segments)
        return {
            "path": str(self.path),
            "documents": len(self),
            "deleted": sum(one["documents"] for one in segments) - len(self),
            "postings": postings,
            "segment_bytes": n_bytes,
            "bytes_per_posting": round(n_bytes / postings, 2) if postings else 0.0,
            "section_bytes": self._section_bytes(),
            "catalog_bytes": self._catalog.n_bytes(),
            "dense": self._dense.info() if self._dense else None,
            "learned_terms": self.n_terms,
            "words": self.n_words,
            "fields": self.fields(),
            "document_frequencies": self._frequency_distribution(),
            "kernel": _native.active_kernel(),
            "segments": segments,
            "settings": dict(self._settings),
        }

    def verify(self, on_segment: Callable[[int], object] = lambda n_bytes: None) -> None:
        """Every byte of segments and catalog was read, and all that must hold was found to hold.

        Args:
            on_segment: Told the bytes of each segment when it is done.

        Raises:
            IndexFormatError: says what is wrong, and in which file.
        """
        verify(self.path, self._catalog, self._segments, on_segment)
        if self._dense is not None:
            self._dense.verify(self.path)

    def forget(self, docs: Sequence[int]) -> None:
        """These documents are no hits any more; called by the writer that made this index."""
        self._selector.forget(docs)

    # inside

    def _bound_shares(
        self, plan: Exact | Approximate, k: int, indptr: NDArray[Any]
    ) -> NDArray[np.float64] | None:
        if isinstance(plan, Exact):
            return None
        lengths = np.diff(indptr)
        if plan.bound_share is not None:
            return np.full(len(lengths), plan.bound_share)
        if self.recall_curves is None:
            raise InvalidInputError(
                f"recall of {self.path} was never tuned; run: sparse-ir tune-recall, "
                "or give bound_share"
            )
        return self.recall_curves.bound_shares(plan.recall or 1.0, k, lengths)

    def _frequency_distribution(self) -> dict[str, int]:
        """How many terms living documents have, and in how many of them those occur."""
        empty = np.empty(0, np.uint32)
        terms = np.unique(np.concatenate([empty, *(segment.terms for segment in self._segments)]))
        frequencies = self.document_frequencies(terms)
        frequencies = frequencies[frequencies > 0]
        if not len(frequencies):
            return {"terms": 0}
        at = {"median": 0.5, "p90": 0.9, "p99": 0.99, "greatest": 1.0}
        found = np.quantile(frequencies, list(at.values()), method="lower").tolist()
        counts = {"terms": len(frequencies), "in_one_document": int((frequencies == 1).sum())}
        return {**counts, **dict(zip(at, found, strict=True))}

    def _weights_of(self, segment: _native.Segment, rows: NDArray[np.uint32]) -> TermWeights:
        indptr, terms, weights = segment.rows(rows)
        shape = (len(rows), self.n_terms + self.n_words)
        return sp.csr_array((weights, terms.astype(np.int64), indptr), shape=shape)

    def _section_bytes(self) -> dict[str, int]:
        """By section of the segment files, all of them together."""
        total: Counter[str] = Counter()
        for segment in self._segments:
            total.update(dict(segment.section_bytes))
        return dict(total)

    def _require_known_terms(self, n_columns: int) -> None:
        if not self.n_terms <= n_columns <= self.n_terms + self.n_words:
            raise VocabularyMismatchError(
                f"queries have {n_columns} terms, the index {self.n_terms} learned ones and "
                f"{self.n_words} words; encode them with the model that the index was built with"
            )

    def _deleted_frequencies(self) -> TermCounts:
        """Terms of deleted documents that segments still hold, and in how many of them.

        Counted once for the documents that are living; there is a new list of them when some go.
        """
        living, counted = self._selector.select().bits, self._deleted_terms
        if counted is None or counted[0] is not living:
            counted = self._deleted_terms = living, self._count_deleted(living)
        return counted[1]

    def _count_deleted(self, living: list[Bitset | None]) -> TermCounts:
        terms = [
            segment.rows(cleared(bits, segment.n_docs))[1]
            for segment, bits in zip(self._segments, living, strict=True)
            if bits is not None
        ]
        found, times = np.unique(
            np.concatenate([np.empty(0, np.uint32), *terms]), return_counts=True
        )
        return found.astype(np.uint32), times.astype(np.int64)

    def _require_open(self) -> None:
        if self._is_closed or self._catalog.is_closed:
            raise self._catalog.closed()


def _open_segments(folder: Path, catalog: Catalog) -> list[_native.Segment]:
    segments, unread = [], _VERIFY_BYTES
    for row in catalog.segments():
        segment = _native.Segment.open(str(folder / row.name))
        _require_same(folder / row.name, "documents", segment.n_docs, row.n_docs)
        _require_same(folder / row.name, "postings", segment.n_postings, row.n_postings)
        if segment.n_bytes <= unread:
            segment.verify()
            unread -= segment.n_bytes
        segments.append(segment)
    return segments


def dense_part(settings: Mapping[str, Any]) -> DensePart | None:
    """What the index says of its dense part; None if it has none."""
    return DensePart(**settings["dense"]) if settings.get("dense") else None


def _open_dense(folder: Path, catalog: Catalog) -> dense_files.Opened | None:
    part = dense_part(catalog.settings())
    return dense_files.open_all(folder, catalog.segments(), part) if part else None


def _require_same(path: Path, what: str, came: int, wanted: int) -> None:
    if came != wanted:
        raise IndexFormatError(
            f"{path} holds {came} {what}, the catalog says {wanted}; build the index anew"
        )


def _require_positive(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InvalidInputError(f"{name} is {value!r}; want an integer >= 1")
