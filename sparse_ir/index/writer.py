"""IndexWriter: the one way to make or change an index.

Vectors are gathered in memory, flushed into immutable segments, and belong to the index with the
commit. The order is always: segment file synced and renamed, catalog's transaction committed, old
files removed. So a crash at any moment leaves the last committed index whole.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import repeat
from pathlib import Path
from types import TracebackType
from typing import Any
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from sparse_ir.corpus import Document, require_document
from sparse_ir.errors import InvalidInputError
from sparse_ir.files import folder_digest
from sparse_ir.index import dense_files
from sparse_ir.index.catalog import (
    Catalog,
    DocumentRow,
    remove_catalog,
    require_index,
    require_no_index,
)
from sparse_ir.index.compaction import most_gathered
from sparse_ir.index.dense_segment import DenseRows, checked
from sparse_ir.index.lock import FILE_NAME as LOCK_NAME
from sparse_ir.index.lock import WriterLock
from sparse_ir.index.merge import Reweighting, Rows, split
from sparse_ir.index.params import BuildParams, CodeKind, DensePart
from sparse_ir.index.passages import Passages, StoredPassage, from_row, spans_of, to_row
from sparse_ir.index.passages import Row as PassageRow
from sparse_ir.index.pending import Batch, Pending, build, dense_segment
from sparse_ir.index.reader import Index, dense_part
from sparse_ir.index.segment_files import Gathered, SegmentFiles, own_files
from sparse_ir.vectors import TermWeights, append_terms, as_term_weights

Change = Callable[[Rows, Passages], tuple[Rows, Passages]]
"""Given stored rows and their passages, returns both anew, of the same documents."""
_FOLDER_ENDS = ("", ".tmp", ".replaced")  # of a folder that is being replaced, see files
_DRIFT = 0.10  # relative change of the average length at which a commit rewrites BM25's weights
_KNOWN_WORDS = 2**18  # whose numbers are kept in memory, about 30 MB; the catalog knows all


class IndexWriter:
    """Adds, replaces and deletes documents; others see nothing before ``commit``, ``index`` all.

    Leaving a ``with`` block commits what is pending; leaving it by an exception discards it, and
    with it an index that this writer made and never committed anything to.
    Doc_ids are unique: adding a known one replaces that document.
    """

    def __init__(
        self,
        folder: Path,
        catalog: Catalog,
        lock: WriterLock,
        *,
        is_new: bool = False,
        beside: Collection[str] = (),
    ) -> None:
        self._folder = folder
        self._catalog = catalog
        self._lock = lock
        self._settings = catalog.settings()
        self._params = BuildParams(**self._settings["params"])
        self._lexicon: dict[str, int] = {}
        self._pending = Pending(self._params, self._settings["n_terms"])
        self._most_gathered = most_gathered(self._params.memory_mb)
        self._indexes: WeakSet[Index] = WeakSet()
        self._dense = dense_part(self._settings)
        self._files = SegmentFiles(
            folder,
            catalog,
            self._params,
            self._settings["next_segment"],
            self._settings["average_length"],
            self._dense,
        )
        self._is_dirty = self._is_closed = False
        self._is_new = is_new  # made by this writer, and still as it was made
        self._beside = beside

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        n_terms: int,
        vocabulary: str = "",
        term_names: Sequence[str] | None = None,
        params: BuildParams | None = None,
        dense: DensePart | None = None,
        settings: Mapping[str, Any] | None = None,
        beside: Mapping[str, Callable[[Path], object]] | None = None,
    ) -> IndexWriter:
        """A writer of a new, empty index in the folder ``path``, committed at once.

        Args:
            path: Folder; made with its parents if missing, else it must hold no index, nor what an
                index would overwrite, unless a crash while one was made left it.
            n_terms: Size of the learned block, >= 1; lexical terms are numbered behind it.
            vocabulary: Fingerprint of the learned block's vocabulary.
            term_names: The learned block's terms, to be kept where no model knows them.
            params: How to build.
            dense: What the dense part holds; None for an index without one.
            settings: More to keep with the index (the model, the language), JSON values.
            beside: Folders that belong to the index, by name, and what fills each. They are there
                before the index is, ``Index.verify`` reads them, and they go where it is not kept.

        Raises:
            InvalidInputError: ``n_terms`` < 1, bad term names, or an index is there already, or
                files with the names of an index's.
            IndexLockedError: another writer is making one there.
        """
        folder = Path(path)
        if n_terms < 1 or n_terms >= 2**32:
            raise InvalidInputError(f"n_terms is {n_terms}; want 1..{2**32 - 1}")
        if term_names is not None and not len(set(term_names)) == len(term_names) == n_terms:
            raise InvalidInputError(
                f"{len(term_names)} term names came for {n_terms} terms; "
                "want as many, all different"
            )
        if term_names is not None:
            _require_text("the names of terms", *term_names)
        folder.mkdir(parents=True, exist_ok=True)
        beside = beside or {}
        _require_room(folder, beside)
        lock = WriterLock(folder)
        try:
            require_no_index(folder)
        except BaseException:
            lock.release()
            raise
        made: dict[str, Any] = {
            "n_terms": n_terms,
            "vocabulary": vocabulary,
            "params": asdict(params or BuildParams()),
            "next_doc": 0,
            "next_segment": 1,
            "n_docs": 0,
            "n_words": 0,
            "lexicon_size": 0,
            "average_length": 0.0,
            **({"dense": asdict(dense)} if dense else {}),
            **(settings or {}),
        }
        catalog = None
        try:
            made["folders"] = _make_folders(folder, beside)
            catalog = Catalog.create(folder, made, term_names)
            return cls(folder, catalog, lock, is_new=True, beside=beside)
        except BaseException:
            if catalog is not None:
                catalog.close()
            _remove_index(folder, beside)
            lock.remove()
            raise

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

    @property
    def params(self) -> BuildParams:
        """How it is built."""
        return self._params

    @property
    def dense(self) -> DensePart | None:
        """What the dense part of the index holds; None if it has none."""
        return self._dense

    def term_names(self) -> list[str]:
        """Names of the learned terms by number; empty if the index does not keep them."""
        return self._catalog.term_names()

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
        dense: DenseRows | None = None,
    ) -> None:
        """Documents without text are pending, each a row of term weights.

        Args:
            vectors: (n, n_terms) term weights, anything ``as_term_weights`` takes.
            ids: n doc_ids.
            metadata: n JSON objects, for filters.
            dense: Their vectors; an index with a dense part wants them, another wants none.

        Raises:
            InvalidInputError: the sizes disagree, a doc_id is empty or comes twice, or a vector is
                not finite; nothing has changed.
        """
        matrix = self._checked(vectors, len(ids))
        rows = self._checked_dense(dense, len(ids))
        _require_several(ids)
        if metadata is not None:
            _require_length("metadata", len(metadata), len(ids))
        documents = [
            Document(doc_id, "", metadata=own)
            for doc_id, own in zip(ids, metadata or repeat({}), strict=False)
        ]
        first = self._add_rows(documents, _require_good(documents))
        indptr, terms = matrix.indptr.astype(np.int64), matrix.indices.astype(np.uint32)
        self._gather(first, np.zeros(len(ids), np.int64), indptr, terms, matrix.data.copy(), rows)

    def add(
        self,
        documents: Sequence[Document],
        vectors: TermWeights,
        words: Sequence[Sequence[str]],
        *,
        fingerprints: Sequence[bytes] | None = None,
        passages: Sequence[Sequence[StoredPassage]] | None = None,
        dense: DenseRows | None = None,
    ) -> None:
        """Documents with text are pending, in both blocks.

        Args:
            documents: n documents.
            vectors: (n, n_terms) learned term weights.
            words: The analysed words of each document, repeats included: the lexical block.
            fingerprints: A digest of what each was made from, given back by ``known``.
            passages: Those of each document that has several, given back by ``Index.passages``.
            dense: A vector a passage; an index with a dense part wants them, another wants none.

        Raises:
            InvalidInputError: the sizes disagree, a doc_id is empty or comes twice, a vector is not
                finite, or a text holds half a surrogate pair; nothing has changed.
        """
        if self._params.precision == "uint8":
            raise InvalidInputError(
                "words came for an index of uint8 weights, which are too coarse for BM25; "
                "make the index with precision float16 or float32"
            )
        matrix = self._checked(vectors, len(documents))
        rows = self._checked_dense(dense, len(documents))
        _require_length("word lists", len(words), len(documents))
        if fingerprints is not None:
            _require_length("fingerprints", len(fingerprints), len(documents))
        metadata = _require_good(documents)
        for document, own in zip(documents, words, strict=True):
            _require_text(f"words of {document.doc_id!r}", *own)
        stored_passages = self._passage_rows(passages, documents, rows)
        first = self._add_rows(
            documents,
            metadata,
            n_words=[len(one) for one in words],
            fingerprints=fingerprints,
        )
        self._catalog.add_texts(first, ((d.title, d.text) for d in documents))
        self._catalog.add_passages(stored_passages)
        lengths = np.array([len(one) for one in words], np.int64)
        self._gather(first, lengths, *append_terms(matrix, self._word_counts(words)), rows)

    def known(self, doc_ids: Sequence[str]) -> dict[str, DocumentRow]:
        """What the catalog keeps of those of these documents that it knows."""
        return self._catalog.documents(doc_ids)

    def contents(self, docs: Sequence[int]) -> dict[int, tuple[str, str, dict[str, Any]]]:
        """doc number -> (title, text, metadata)."""
        return self._catalog.contents(docs)

    def passage_spans(self, docs: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
        """As ``Index.passage_spans``."""
        return spans_of(self._catalog.passage_places(docs))

    def keep(self, name: str, value: Any) -> None:
        """The index keeps this setting, a JSON value, beside those of ``create``."""
        self._settings[name] = value
        self._is_dirty = True

    def rewrite(self, first: int, change: Change) -> None:
        """Documents numbered ``first`` or more are stored as ``change`` gives them, uncommitted.

        Args:
            first: Doc number.
            change: What becomes of some of them; called until all are done.
        """

        def changed(rows: Rows) -> Iterable[Rows]:
            before, rows = split(rows, first)
            passages = self._catalog.passages(rows[0].tolist())
            rows, anew = change(rows, {row[0]: from_row(row) for row in passages})
            self._catalog.replace_passages(to_row(doc, own) for doc, own in anew.items())
            return before, rows

        self.flush()
        self._files.rewrite_from(first, changed)
        self._is_dirty = True

    def replace_metadata(self, document: Document) -> None:
        """A known document has the metadata of this one; its text and vector stay."""
        row = self._catalog.documents([document.doc_id])[document.doc_id]
        as_json = require_document(document)
        self._catalog.add_fields(document.metadata)
        self._catalog.replace_metadata(row.doc, as_json)
        self._is_dirty = True

    def delete(self, doc_ids: Collection[str]) -> int:
        """Returns how many of these were there; they are gone with the commit.

        Raises:
            InvalidInputError: a string came, whose letters would be taken for ids.
        """
        _require_several(doc_ids)
        if not len(self):
            return 0
        rows = list(self._catalog.documents(list(doc_ids)).values())
        docs = [row.doc for row in rows]
        for index in self._indexes if docs else ():
            index.forget(docs)
        self._catalog.delete_documents(docs)
        self._settings["n_docs"] -= len(rows)
        self._settings["n_words"] -= sum(row.n_words for row in rows)
        self._is_dirty = self._is_dirty or bool(rows)
        return len(rows)

    # changes out

    def index(self) -> Index:
        """An index of all documents as of now, uncommitted ones included, to be searched at once.

        Documents not flushed yet are searched in memory, so this costs what is new since the last
        call, not a write to disk. Of what this writer does afterwards the index shows deletions
        alone; it is good until the writer is closed, and may be searched from other threads.
        """
        average = self._average_of_new()
        memory = self._pending.segments(average)
        self._catalog.update_settings({**self._settings, "average_length": average})
        segments = [*self._files.open_all(), *memory]
        dense = None
        if self._dense is not None:
            vectors, codes = self._files.open_dense()
            in_memory = self._pending.dense_segments()
            dense = [*vectors, *in_memory], [*codes, *[None] * len(in_memory)]
        index = Index(self._folder, self._catalog, segments, dense, is_snapshot=False)
        self._indexes.add(index)
        return index

    def flush(self) -> None:
        """Pending vectors are in a segment file, or on their way into it, still uncommitted.

        Raises:
            OSError: a file could not be written, this one or the last. What it was to hold is lost,
                so ``flush``, ``commit`` and ``index`` raise from then on; close the writer.
        """
        if not self._pending:
            return
        average = self._files.average_length = self._average_of_new()
        batches, params, n_terms = self._pending.take(), self._params, self._settings["n_terms"]
        n_docs = sum(len(batch.docs) for batch in batches)
        n_postings = sum(len(batch.terms) for batch in batches)

        def gather() -> Gathered:
            vectors = dense_segment(batches)
            return build(batches, params, n_terms, average), vectors

        self._files.write(gather, n_docs, n_postings)

    def add_dense(self, part: DensePart, encode: Callable[[list[int]], DenseRows]) -> None:
        """The index has a dense part, of all its documents, committed.

        Stopped and called again for the same part, it goes on behind the last whole segment.

        Args:
            part: What it holds.
            encode: Gives the rows of documents by their numbers.

        Raises:
            InvalidInputError: there is a dense part already.
        """
        if self._dense is not None:
            raise InvalidInputError(f"{self._folder} has a dense part already; want one at most")
        self.optimize()
        coming = asdict(part)
        goes_on = self._settings.get("dense_coming") == coming
        if not goes_on:
            self._files.remove_dense()
        self._settings["dense_coming"] = coming
        self._commit()
        for row in self._catalog.segments():
            self._files.write_dense(row, part, encode, goes_on=goes_on)
        self._settings.update(dense=coming, dense_coming=None)
        self._dense = self._files.dense = part
        self._commit()

    def recode(self, codes: CodeKind) -> None:
        """The dense part has codes of this kind, made of its vectors; committed, as all before.

        Raises:
            InvalidInputError: there is no dense part.
            MissingDependencyError: faiss is not installed.
        """
        if self._dense is None:
            raise InvalidInputError(f"{self._folder} has no dense part; add one first")
        self.optimize()
        part = replace(self._dense, codes=codes)
        for row in self._catalog.segments():
            dense_files.write_codes(self._folder / row.name, part)
        self._settings["dense"] = asdict(part)
        self._dense = self._files.dense = part
        self._commit()

    def commit(self) -> None:
        """All pending changes are on the disk and seen by whoever opens the index from now on.

        Small segments are merged on the way; large ones on another thread, for a later commit or
        ``close``. When the average document length has moved by more than a tenth since BM25's
        weights were stored, or most of what is stored was deleted, all of it is rewritten, in the
        same ways.
        """
        self.flush()
        self._files.merge_quickly()
        drift, drops = self._drift(), self._files.n_rows() > 2 * len(self)
        if (drift is not None or drops) and self._files.is_small():
            self._files.rewrite(drift)
            drift, drops = None, False
        start = self._files.reserve(drift, drops=drops)
        self._commit()
        start()

    def optimize(self) -> None:
        """As ``commit``, and as few segments as ``memory_mb`` allows hold all documents.

        Deleted documents are dropped from them, and BM25 is at the exact average length.
        """
        self.flush()
        self._files.rewrite(self._reweighting())
        self._commit()

    def close(self) -> None:
        """Uncommitted changes are discarded and another writer may come.

        Waits for a merge on the other thread, and commits its result, unless the disk has failed
        before. Closing twice does nothing.
        """
        self._close(remove=False)

    def _close(self, *, remove: bool) -> None:
        if self._is_closed:
            return
        self._is_closed, self._is_dirty = True, False
        try:
            self._files.close()
            has_failed = self._catalog.has_failed or self._files.has_failed
            self._catalog.roll_back()
            if has_failed:
                self._files.abandon()
                with suppress(OSError):  # it would hide the first error
                    self._files.remove_orphans()
            else:
                self._adopt_last()
                self._files.remove_orphans()
        finally:
            self._catalog.close()
            if remove:
                _remove_index(self._folder, self._beside)
                self._lock.remove()
            else:
                self._lock.release()

    def _adopt_last(self) -> None:
        self._catalog.begin()
        if self._files.adopt(wait=True):
            self._catalog.update_settings(self._file_settings())
            self._catalog.commit()

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
            self._is_new = self._is_new and kind is not None
        finally:
            self._close(remove=self._is_new)

    # adding

    def _checked(self, vectors: TermWeights, n: int) -> Any:
        matrix = as_term_weights(vectors, n_terms=self._settings["n_terms"])
        _require_length("vectors", matrix.shape[0], n)
        return matrix

    def _checked_dense(self, rows: DenseRows | None, n: int) -> DenseRows | None:
        if (rows is None) != (self._dense is None):
            came, has = ("none", "a") if rows is None else ("some", "no")
            raise InvalidInputError(
                f"{self._folder} has {has} dense part, and {came} came of the documents' vectors; "
                "want a vector or more each just where there is one"
            )
        if rows is None or self._dense is None:
            return None
        return checked(rows, n, self._dense.dimension)

    def _passage_rows(
        self,
        passages: Sequence[Sequence[StoredPassage]] | None,
        documents: Sequence[Document],
        rows: DenseRows | None,
    ) -> list[PassageRow]:
        """What the catalog is to keep of the passages, checked against their vectors."""
        if passages is None:
            return []
        _require_length("lists of passages", len(passages), len(documents))
        if rows is not None:
            for document, own, n in zip(documents, passages, rows.counts.tolist(), strict=True):
                if n != (len(own) or 1):
                    raise InvalidInputError(
                        f"{n} vectors came for {len(own) or 1} passages of {document.doc_id!r}; "
                        "want one each"
                    )
        first = self._settings["next_doc"]
        return [to_row(doc, own) for doc, own in enumerate(passages, first) if own]

    def _add_rows(
        self,
        documents: Sequence[Document],
        metadata: Sequence[str],
        n_words: Sequence[int] | None = None,
        fingerprints: Sequence[bytes] | None = None,
    ) -> int:
        """The documents, which are good, are in the catalog, in the place of any with their ids.

        Args:
            documents: Their texts are not added.
            metadata: Theirs, as JSON.
            n_words: Of each.
            fingerprints: Of each.

        Returns:
            The number of the first.
        """
        self._catalog.add_fields({name for document in documents for name in document.metadata})
        ids = [document.doc_id for document in documents]
        first = int(self._settings["next_doc"])
        rows = (first, ids, n_words or repeat(0), fingerprints or repeat(None), metadata)
        if not self._catalog.add_documents(*rows):  # asking first would take as long again
            self.delete(ids)
            if not self._catalog.add_documents(*rows):
                raise AssertionError(f"{self._folder} kept documents that were deleted")
        self._settings["next_doc"] += len(ids)
        self._settings["n_docs"] += len(ids)
        self._settings["n_words"] += sum(n_words or ())
        self._is_dirty = self._is_dirty or bool(ids)
        return first

    def _gather(
        self,
        first: int,
        lengths: NDArray[np.int64],
        indptr: NDArray[np.int64],
        terms: NDArray[np.uint32],
        values: NDArray[np.float32],
        dense: DenseRows | None,
    ) -> None:
        if not len(lengths):
            return
        docs = np.arange(first, first + len(lengths), dtype=np.uint64)
        batch, most = Batch(docs, lengths, indptr, terms, values, dense), self._most_gathered
        if self._pending.size + batch.size > most:
            self.flush()
        self._pending.add(batch)
        if self._pending.size >= most:
            self.flush()

    def _word_counts(self, words: Sequence[Sequence[str]]) -> list[dict[int, int]]:
        """Per document {term number: count}; new words get the next numbers."""
        if len(self._lexicon) > _KNOWN_WORDS:
            self._lexicon.clear()
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

    # the average length

    def _average_of_new(self) -> float:
        """Under which new weights are stored: the old segments', if there are any."""
        stored = self._files.average_length
        if stored and self._catalog.segments():
            return stored
        # All documents with words may be deleted, and yet be pending.
        return self._true_average() or self._pending.mean_length

    def _reweighting(self) -> Reweighting | None:
        """What brings the weights that are stored to the present average; None if they are."""
        old, new = self._files.average_length, self._true_average()
        if not old or not new or old == new:
            return None
        n_terms, params = self._settings["n_terms"], self._params
        return Reweighting(n_terms, self._catalog.lengths, old, new, params.k1, params.b)

    def _drift(self) -> Reweighting | None:
        """As ``_reweighting``, if the average has moved by more than a tenth."""
        found = self._reweighting()
        if found is None or abs(found.new_average / found.old_average - 1) <= _DRIFT:
            return None
        return found

    def _true_average(self) -> float:
        n_docs = self._settings["n_docs"]
        return self._settings["n_words"] / n_docs if n_docs else 0.0

    # transaction

    def _commit(self) -> None:
        self._files.wait()
        self._settings |= self._file_settings()
        self._catalog.update_settings(self._settings)
        self._catalog.commit()
        self._catalog.begin()
        self._is_dirty = self._is_new = False
        self._files.remove_orphans_later()

    def _file_settings(self) -> dict[str, Any]:
        files = self._files
        return {"next_segment": files.next_number, "average_length": files.average_length}


def _require_room(folder: Path, beside: Collection[str]) -> None:
    """Returns if the folder holds nothing that a new index would overwrite, crashes' remains apart.

    The lock is made first and removed last: what a crash leaves of a new index is never without.

    Raises:
        InvalidInputError: somebody else's files have the names of an index's, or it is one.
    """
    catalog = Catalog.files(folder)
    folders = [folder / (name + end) for name in beside for end in _FOLDER_ENDS]
    found = [path for path in (*catalog, *folders, *own_files(folder)) if path.exists()]
    if found and not (folder / LOCK_NAME).exists():
        require_no_index(folder)
        raise InvalidInputError(
            f"{found[0]} is there, and making an index would overwrite it; name another folder for "
            "the index, or move this away"
        )


def _make_folders(folder: Path, beside: Mapping[str, Callable[[Path], object]]) -> dict[str, str]:
    """The digest of each by name, for all to be there and whole when the index begins to be."""
    for name, fill in beside.items():
        shutil.rmtree(folder / name, ignore_errors=True)  # a crash may have left it
        fill(folder / name)
    return {name: folder_digest(folder / name) for name in beside}


def _remove_index(folder: Path, beside: Collection[str]) -> None:
    remove_catalog(folder)
    for name in beside:
        shutil.rmtree(folder / name, ignore_errors=True)


def _require_text(what: str, *parts: str) -> None:
    try:
        "".join(parts).encode()
    except (TypeError, UnicodeEncodeError) as error:
        raise InvalidInputError(f"{what} are no text: {error}; want whole characters") from None


def _require_length(what: str, came: int, wanted: int) -> None:
    if came != wanted:
        raise InvalidInputError(f"{came} {what} came for {wanted} documents; want one each")


def _require_several(doc_ids: Collection[str]) -> None:
    if isinstance(doc_ids, str):
        raise InvalidInputError(f"the string {doc_ids!r} came; want a list of doc_ids")


def _require_good(documents: Sequence[Document]) -> list[str]:
    """Returns the metadata of each as JSON, if all are good and no two have one doc_id."""
    metadata = [require_document(document) for document in documents]
    counts = Counter(document.doc_id for document in documents)
    if len(counts) != len(documents):
        twice = next(doc_id for doc_id, n in counts.items() if n > 1)
        raise InvalidInputError(f"doc_id {twice!r} comes twice in one batch; want each once")
    return metadata
