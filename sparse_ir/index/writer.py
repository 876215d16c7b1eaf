"""IndexWriter: the one way to make or change an index.

Vectors are buffered, flushed into immutable segments, and belong to the index with the commit. The
order is always: segment file synced and renamed, catalog's transaction committed, old files
removed. So a crash at any moment leaves the last committed index whole.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sparse_ir import _native
from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.index import bm25
from sparse_ir.index.catalog import Catalog, DocumentRow, require_index
from sparse_ir.index.lock import WriterLock
from sparse_ir.index.merge import Reweighting, merge, segments_to_merge
from sparse_ir.index.params import BuildParams
from sparse_ir.vectors import TermWeights, append_terms, as_term_weights

SEGMENT_GLOB = "segment-*.sir"
_DRIFT = 0.10  # relative change of the average length at which a commit rewrites BM25's weights


class IndexWriter:
    """Adds, replaces and deletes documents; nothing shows before ``commit``.

    Leaving a ``with`` block commits what is pending; leaving it by an exception discards it.
    Doc_ids are unique: adding a known one replaces that document.
    """

    def __init__(self, folder: Path, catalog: Catalog, lock: WriterLock) -> None:
        self._folder = folder
        self._catalog = catalog
        self._lock = lock
        self._load()

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        n_terms: int,
        vocabulary: str = "",
        params: BuildParams | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> IndexWriter:
        """A writer of a new, empty index in the folder ``path``, committed at once.

        Args:
            path: Folder; made with its parents if missing, else it must not hold an index.
            n_terms: Size of the learned block, >= 1; lexical terms are numbered behind it.
            vocabulary: Fingerprint of the learned block's vocabulary.
            params: How to build.
            settings: More to keep with the index (the model, the language), JSON values.

        Raises:
            InvalidInputError: ``n_terms`` < 1, or an index is there already.
            IndexLockedError: another writer is making one there.
        """
        folder = Path(path)
        if n_terms < 1 or n_terms >= 2**32:
            raise InvalidInputError(f"n_terms is {n_terms}; want 1..{2**32 - 1}")
        folder.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(folder)
        try:
            catalog = Catalog.create(
                folder,
                {
                    "n_terms": n_terms,
                    "vocabulary": vocabulary,
                    "params": asdict(params or BuildParams()),
                    "next_doc": 0,
                    "next_segment": 1,
                    "n_docs": 0,
                    "n_words": 0,
                    "lexicon_size": 0,
                    "average_length": 0.0,
                    **(settings or {}),
                },
            )
        except BaseException:
            lock.release()
            raise
        return cls(folder, catalog, lock)

    @classmethod
    def open(cls, path: str | Path) -> IndexWriter:
        """A writer of the index in the folder ``path``.

        Raises:
            InvalidInputError: there is no index.
            IndexLockedError: another writer has it open.
        """
        folder = require_index(Path(path))
        lock = WriterLock(folder)
        try:
            return cls(folder, Catalog.open_for_writing(folder), lock)
        except BaseException:
            lock.release()
            raise

    @property
    def settings(self) -> dict[str, Any]:
        """What the index keeps of how it was made."""
        return dict(self._settings)

    def __len__(self) -> int:
        """Living documents, the uncommitted ones included."""
        return int(self._settings["n_docs"])

    # documents in

    def add_vectors(
        self,
        vectors: TermWeights,
        ids: Sequence[str],
        *,
        metadata: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Documents without text are pending, each a row of term weights.

        Args:
            vectors: (n, n_terms) term weights, anything ``as_term_weights`` takes.
            ids: n doc_ids.
            metadata: n JSON objects, for filters.

        Raises:
            InvalidInputError: the sizes disagree, or a doc_id is empty or comes twice.
        """
        documents = [
            Document(doc_id, "", metadata=meta)
            for doc_id, meta in zip(ids, metadata or [{}] * len(ids), strict=True)
        ]
        self._add(documents, vectors, words=None, fingerprints=None)

    def add(
        self,
        documents: Sequence[Document],
        vectors: TermWeights,
        words: Sequence[Sequence[str]],
        *,
        fingerprints: Sequence[bytes] | None = None,
    ) -> None:
        """Documents with text are pending, in both blocks.

        Args:
            documents: n documents.
            vectors: (n, n_terms) learned term weights.
            words: The analysed words of each document, repeats included: the lexical block.
            fingerprints: A digest of what each was made from, given back by ``known``.

        Raises:
            InvalidInputError: the sizes disagree, or a doc_id is empty or comes twice.
        """
        self._add(documents, vectors, words, fingerprints)

    def known(self, doc_ids: Sequence[str]) -> dict[str, DocumentRow]:
        """What the catalog keeps of those of these documents that it knows."""
        return self._catalog.documents(doc_ids)

    def replace_metadata(self, document: Document) -> None:
        """A known document has the metadata of this one; its text and vector stay."""
        row = self._catalog.documents([document.doc_id])[document.doc_id]
        self._catalog.add_fields(document.metadata)
        self._catalog.replace_metadata(row.doc, _as_json(document))
        self._is_dirty = True

    def delete(self, doc_ids: Collection[str]) -> int:
        """Returns how many of these were there; they are gone with the commit."""
        rows = list(self._catalog.documents(list(doc_ids)).values())
        self._catalog.delete_documents([row.doc for row in rows])
        self._settings["n_docs"] -= len(rows)
        self._settings["n_words"] -= sum(row.n_words for row in rows)
        self._is_dirty = self._is_dirty or bool(rows)
        return len(rows)

    # changes out

    def flush(self) -> None:
        """Pending vectors are in a segment file, still uncommitted."""
        if not self._pending:
            return
        docs, sizes, terms, values = (
            np.concatenate(parts) for parts in zip(*self._pending, strict=True)
        )
        self._clear_pending()
        indptr = np.concatenate(([0], np.cumsum(sizes)))
        lengths = self._n_words_of(docs)
        if not self._catalog.segments() or not self._settings["average_length"]:
            self._settings["average_length"] = self._true_average()
        lexical = terms >= self._settings["n_terms"]
        if lexical.any():
            params = self._params
            values[lexical] = bm25.document_weights(
                values[lexical],
                np.repeat(lengths, sizes)[lexical],
                average_length=self._settings["average_length"],
                k1=params.k1,
                b=params.b,
            )
        builder = _native.SegmentBuilder(self._params.precision)
        builder.add(docs, indptr, terms, values)
        self._write(builder)

    def commit(self) -> None:
        """All pending changes are on the disk and seen by whoever opens the index from now on.

        Small segments are merged on the way. When the average document length has moved by more
        than a tenth since BM25's weights were stored, all of them are rewritten.
        """
        self.flush()
        average, stored = self._true_average(), self._settings["average_length"]
        if stored and abs(average - stored) > _DRIFT * stored:
            self._merge_from(0)
        while (start := segments_to_merge([n for _, n in self._catalog.segments()])) is not None:
            self._merge_from(start)
        self._commit()

    def optimize(self) -> None:
        """As ``commit``, and one segment holds all documents, BM25 at the exact average length."""
        self.flush()
        is_exact = self._settings["average_length"] == self._true_average()
        if len(self._catalog.segments()) > 1 or self._catalog.deletions() or not is_exact:
            self._merge_from(0)
        self._commit()

    def close(self) -> None:
        """Uncommitted changes are discarded and another writer may come."""
        self._catalog.close()
        self._remove_orphans(self._committed)
        self._lock.release()

    def __enter__(self) -> IndexWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None and self._is_dirty:
                self.commit()
        finally:
            self.close()

    # adding

    def _add(
        self,
        documents: Sequence[Document],
        vectors: TermWeights,
        words: Sequence[Sequence[str]] | None,
        fingerprints: Sequence[bytes] | None,
    ) -> None:
        matrix = as_term_weights(vectors, n_terms=self._settings["n_terms"])
        _require_length("vectors", matrix.shape[0], len(documents))
        if words is not None:
            _require_length("word lists", len(words), len(documents))
        ids = [document.doc_id for document in documents]
        _require_unique(ids)
        if not ids:
            return
        metadata = [_as_json(document) for document in documents]
        self.delete(ids)
        first = self._settings["next_doc"]
        lengths = [len(one) for one in words] if words is not None else [0] * len(ids)
        prints: Sequence[bytes | None] = fingerprints or [None] * len(ids)
        rows = [
            DocumentRow(first + i, ids[i], lengths[i], prints[i], metadata[i])
            for i in range(len(ids))
        ]
        texts = [(d.title, d.text) for d in documents] if words is not None else None
        self._catalog.add_documents(rows, texts)
        self._catalog.add_fields({name for document in documents for name in document.metadata})
        self._settings["next_doc"] += len(ids)
        self._settings["n_docs"] += len(ids)
        self._settings["n_words"] += sum(lengths)
        self._is_dirty = True
        self._buffer(first, matrix, words)

    def _buffer(self, first: int, matrix: Any, words: Sequence[Sequence[str]] | None) -> None:
        n = matrix.shape[0]
        docs = np.arange(first, first + n, dtype=np.uint64)
        counts = self._word_counts(words) if words is not None else [{}] * n
        indptr, terms, values = append_terms(matrix, counts)
        self._pending.append((docs, np.diff(indptr), terms, values))
        self._pending_bytes += sum(array.nbytes for array in self._pending[-1])
        if self._pending_bytes >= self._params.memory_mb * 2**20:
            self.flush()

    def _word_counts(self, words: Sequence[Sequence[str]]) -> list[dict[int, int]]:
        """Per document {term number: count}; new words get the next numbers."""
        self._learn({word for one in words for word in one if word not in self._lexicon})
        first, number = self._settings["n_terms"], self._lexicon
        return [{first + number[word]: n for word, n in Counter(one).items()} for one in words]

    def _learn(self, words: Iterable[str]) -> None:
        missing = sorted(words)  # sorted: the same documents give the same numbers
        self._lexicon.update(self._catalog.word_numbers(missing))
        size = self._settings["lexicon_size"]
        new = [word for word in missing if word not in self._lexicon]
        numbered = {word: size + i for i, word in enumerate(new)}
        self._catalog.add_words(numbered)
        self._lexicon.update(numbered)
        self._settings["lexicon_size"] += len(new)

    # segments

    def _merge_from(self, start: int) -> None:
        names = [name for name, _ in self._catalog.segments()[start:]]
        segments = [_native.Segment.open(str(self._folder / name)) for name in names]
        deleted = np.array(self._catalog.deletions(), np.uint64)
        reweighting = None
        if start == 0:
            reweighting = self._reweighting()
            self._settings["average_length"] = self._true_average()
        builder = merge(segments, deleted, self._params.precision, reweighting)
        gone = [d for s in segments for d in np.intersect1d(s.doc_numbers, deleted).tolist()]
        self._catalog.remove_segments(names)
        self._catalog.forget_deletions(gone)
        self._write(builder)

    def _reweighting(self) -> Reweighting | None:
        old, new = self._settings["average_length"], self._true_average()
        if not old or not new or old == new:
            return None
        n_terms, params = self._settings["n_terms"], self._params
        return Reweighting(n_terms, self._n_words_of, old, new, params.k1, params.b)

    def _write(self, builder: _native.SegmentBuilder) -> None:
        if builder.n_docs == 0:
            return
        name = f"segment-{self._settings['next_segment']:06d}.sir"
        self._settings["next_segment"] += 1
        builder.write(str(self._folder / name))
        self._catalog.add_segment(name, builder.n_docs)

    def _n_words_of(self, docs: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Lengths in words; 0 for documents deleted since they were added."""
        if not len(docs):
            return np.zeros(0, np.int64)
        rows = np.array(self._catalog.word_counts(int(docs[0]), int(docs[-1])), np.int64).reshape(
            -1, 2
        )
        lengths = np.zeros(len(docs), np.int64)
        lengths[np.searchsorted(docs, rows[:, 0].astype(np.uint64))] = rows[:, 1]
        return lengths

    def _true_average(self) -> float:
        n_docs = self._settings["n_docs"]
        return self._settings["n_words"] / n_docs if n_docs else 0.0

    # transaction

    def _load(self) -> None:
        self._settings = self._catalog.settings()
        self._params = BuildParams(**self._settings["params"])
        self._lexicon: dict[str, int] = {}
        self._committed = {name for name, _ in self._catalog.segments()}
        self._is_dirty = False
        self._clear_pending()
        self._remove_orphans(self._committed)

    def _commit(self) -> None:
        self._catalog.update_settings(self._settings)
        self._catalog.commit()
        self._committed = {name for name, _ in self._catalog.segments()}
        self._catalog.begin()
        self._is_dirty = False
        self._remove_orphans(self._committed)

    def _clear_pending(self) -> None:
        self._pending: list[tuple[NDArray[Any], ...]] = []
        self._pending_bytes = 0

    def _remove_orphans(self, named: Collection[str]) -> None:
        for file in [*self._folder.glob(SEGMENT_GLOB), *self._folder.glob(SEGMENT_GLOB + ".tmp")]:
            if file.name not in named:
                file.unlink(missing_ok=True)


def _as_json(document: Document) -> str:
    try:
        return json.dumps(dict(document.metadata), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(
            f"metadata of {document.doc_id!r} is not JSON: {error}; want plain values"
        ) from error


def _require_length(what: str, came: int, wanted: int) -> None:
    if came != wanted:
        raise InvalidInputError(f"{came} {what} came for {wanted} documents; want one each")


def _require_unique(doc_ids: Sequence[str]) -> None:
    for doc_id in doc_ids:
        if not isinstance(doc_id, str) or not doc_id:
            raise InvalidInputError(f"doc_id is {doc_id!r}; want a string that is not empty")
    if len(set(doc_ids)) != len(doc_ids):
        twice = next(doc_id for doc_id, n in Counter(doc_ids).items() if n > 1)
        raise InvalidInputError(f"doc_id {twice!r} comes twice in one batch; want each once")
