"""SparseRetriever: query text in, ranked documents out, in one pass over one index.

Anchored search (the default) adds BM25 and the learned score: a document's score is
``sum over words of tf idf x stored weight + g x sum over word pieces of query x stored weight``,
where words count by what they say in any text (see ``query_vectors``). Both sums run over one query
vector and one inverted index. The modes differ only in that vector.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hit, Hits, Passage
from sparse_ir.index.filters import Filter
from sparse_ir.index.params import Approximate, Exact
from sparse_ir.index.reader import EXACT, Index
from sparse_ir.retrieval.best_passage import learned_part, search_by_best_passage
from sparse_ir.retrieval.explanation import Explainer, WeightedTerm
from sparse_ir.retrieval.highlights import Highlight, Snippet, TermMatch, Tracer
from sparse_ir.retrieval.query_vectors import Mode, QueryArrays, QueryVectors
from sparse_ir.vectors import TermWeights
from sparse_ir.vocabulary import Vocabulary, require_same_vocabulary

QUERY_ENCODER = "query_encoder"  # folder inside an index: searching needs no other model
_MADE_WITH = ("model_fingerprint", "vocabulary", "language")  # settings: encoder and analyzer
_STREAMED = 128  # hits whose texts are read together, and those of a stream's first search
_STREAM_GROWTH = 4  # all searches of a stream together take a third more than the last


class Retriever(Protocol):
    """Anything that ranks documents for queries."""

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best documents of each query, best first."""
        ...


class AsyncSearch:
    """What gives a class with ``search`` an ``asearch`` too."""

    search: Callable[..., Any]

    @overload
    async def asearch(self, queries: str, k: int = ..., **options: Any) -> list[Hit]: ...

    @overload
    async def asearch(
        self, queries: Sequence[str], k: int = ..., **options: Any
    ) -> list[list[Hit]]: ...

    async def asearch(
        self, queries: str | Sequence[str], k: int = 10, **options: Any
    ) -> list[Hit] | list[list[Hit]]:
        """As ``search``, with its options, on another thread: the event loop goes on meanwhile."""
        found: list[Hit] | list[list[Hit]] = await asyncio.to_thread(
            lambda: self.search(queries, k, **options)
        )
        return found


class SparseRetriever(AsyncSearch):
    """Searches an index with text; safe to share between threads.

    Args:
        index: An index of text.
        encoder: Query encoder of the index's learned vocabulary.
        analyzer: Of the language that the index was built with.

    Raises:
        VocabularyMismatchError: the encoder is of another vocabulary.
    """

    def __init__(self, index: Index, encoder: Encoder, analyzer: Analyzer) -> None:
        require_same_vocabulary(encoder.vocabulary.fingerprint, index.settings["vocabulary"])
        self.index = index
        self._encoder = encoder
        self._analyzer = analyzer
        self._queries = QueryVectors(index, encoder, analyzer)
        self._explainer = Explainer(index, encoder, analyzer, self._queries)

    @classmethod
    def open(cls, path: str | Path = ".sparse-ir") -> SparseRetriever:
        """A retriever for the index in the folder ``path``, as last committed.

        Raises:
            InvalidInputError: there is no index, or it holds vectors without text.
            IndexFormatError: a file of it is corrupt.
        """
        return cls._opened(path, _encoders)

    def reopened(self) -> SparseRetriever:
        """A retriever of the same index as committed by now; this one stays open.

        Costs what opening the index does: encoder and analyzer are shared, unless the index was
        made anew with another model or language.

        Raises:
            InvalidInputError: as ``open``.
            IndexFormatError: as ``open``.
        """
        return self._opened(self.index.path, self._shared)

    @classmethod
    def _opened(
        cls, path: str | Path, encoders: Callable[[Index], tuple[Encoder, Analyzer]]
    ) -> SparseRetriever:
        index = Index.open(path)
        try:
            return cls(index, *encoders(index))
        except BaseException:
            index.close()
            raise

    def _shared(self, index: Index) -> tuple[Encoder, Analyzer]:
        """Those of this retriever, if the index can be searched by them."""
        before = self.index.settings
        if any(index.settings.get(name) != before.get(name) for name in _MADE_WITH):
            return _encoders(index)
        return self._encoder, self._analyzer

    @property
    def encoder(self) -> Encoder:
        """The query encoder, as its model has it: not adapted to the index."""
        return self._encoder

    @property
    def vocabulary(self) -> Vocabulary:
        """Names of the learned block's terms, by number."""
        return self._encoder.vocabulary

    def close(self) -> None:
        """The index is closed."""
        self.index.close()

    def __enter__(self) -> SparseRetriever:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @overload
    def search(  # type: ignore[overload-overlap]  # a string is a sequence of strings, alas
        self,
        queries: str,
        k: int = ...,
        *,
        mode: Mode = ...,
        filter: Filter | None = ...,
        plan: Exact | Approximate = ...,
        threads: int = ...,
        with_text: bool = ...,
    ) -> list[Hit]: ...

    @overload
    def search(
        self,
        queries: Sequence[str],
        k: int = ...,
        *,
        mode: Mode = ...,
        filter: Filter | None = ...,
        plan: Exact | Approximate = ...,
        threads: int = ...,
        with_text: bool = ...,
    ) -> list[list[Hit]]: ...

    def search(
        self,
        queries: str | Sequence[str],
        k: int = 10,
        *,
        mode: Mode = "anchored",
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
        with_text: bool = True,
    ) -> list[Hit] | list[list[Hit]]:
        """The k best documents of one query, or of each of several, best first.

        Args:
            queries: A text, or a sequence of texts.
            k: Hits wanted a query, >= 1; all of them if there are fewer documents.
            mode: ``anchored`` = BM25, its words weighed by the query table, + g x learned;
                ``learned``; or ``lexical`` = BM25.
            filter: Only documents whose metadata match, as ``"year >= 2020"`` or
                ``{"year": 2020}`` (see ``index.filters``).
            plan: ``Exact()``, or ``Approximate(recall=.99)`` once ``tune_recall`` has measured.
            threads: Queries searched at once, >= 1.
            with_text: Whether hits carry title, text and metadata; ids and scores alone are
                found faster.

        Raises:
            InvalidInputError: a bad argument, an unknown field in the filter, or a recall of an
                index that was never tuned.
        """
        texts = [queries] if isinstance(queries, str) else queries
        found = self.search_arrays(texts, k, mode=mode, filter=filter, plan=plan, threads=threads)
        ranked = self.hits(found, with_text=with_text)
        return ranked[0] if isinstance(queries, str) else ranked

    def stream(
        self,
        query: str,
        *,
        mode: Mode = "anchored",
        filter: Filter | None = None,
        with_text: bool = True,
    ) -> Iterator[Hit]:
        """Every document that matches the query, best first; who stops early pays for little.

        Searches for more hits each time those found are used up, and reads texts in small batches,
        so memory holds a few texts, and some bytes a hit.

        Raises:
            InvalidInputError: as ``search``, when the first hit is asked for.
        """
        told, k = 0, _STREAMED
        while True:
            found = self.search_arrays([query], k, mode=mode, filter=filter)
            n = int(found.counts[0])
            for start in range(told, n, _STREAMED):
                some = _columns(found, start, min(start + _STREAMED, n))
                yield from self.hits(some, with_text=with_text)[0]
            if n < k:
                return
            told, k = n, k * _STREAM_GROWTH

    def search_arrays(
        self,
        queries: Sequence[str],
        k: int = 10,
        *,
        mode: Mode = "anchored",
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
    ) -> Hits:
        """As ``search``, giving arrays, without reading any document's text.

        They have k columns, or one a document if there are fewer.
        """
        arrays = self._queries.arrays(queries, mode)
        return self.search_query_arrays(
            arrays, k, mode=mode, filter=filter, plan=plan, threads=threads
        )

    def search_query_arrays(
        self,
        queries: QueryArrays,
        k: int,
        *,
        mode: Mode = "anchored",
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
    ) -> Hits:
        """As ``search_arrays``, for what ``query_arrays`` gave for the same mode."""
        k = checked_k(k, len(self.index))

        def search(queries: QueryArrays, k: int) -> Hits:
            return self.index.search_terms(*queries, k, plan=plan, threads=threads, filter=filter)

        if mode == "lexical" or not self.index.has_passages:
            return search(queries, k)
        return search_by_best_passage(self.index, queries, k, search)

    def scores(
        self, queries: QueryArrays, row: int, docs: NDArray[np.int64], *, mode: Mode = "anchored"
    ) -> NDArray[np.float32]:
        """(n,) what ``search`` would score these documents, found or not, from the forward index.

        Args:
            queries: Of ``query_arrays`` for this mode.
            row: Which query.
            docs: (n,) doc numbers, ascending.
        """
        indptr, terms, weights = queries
        part = slice(int(indptr[row]), int(indptr[row + 1]))
        stored = self.index.vectors(docs.astype(np.uint64))
        laid_out = np.zeros(stored.shape[1])
        laid_out[terms[part]] = weights[part]
        scores = np.asarray(stored @ laid_out)
        if mode == "lexical" or not self.index.has_passages:
            return scores.astype(np.float32)
        ranked, exact, _ = self.index.rank_by_best_passage(
            docs, scores.astype(np.float32), *learned_part(queries, row, self.index.n_terms)
        )
        return exact[np.argsort(ranked)]

    def hits(self, found: Hits, *, with_text: bool = True) -> list[list[Hit]]:
        """The documents of arrays that a search gave, ready to be shown.

        Those that a writer deleted since then are left out.
        """
        docs = np.unique(found.docs[found.docs >= 0]).tolist()
        documents = self.index.documents(docs) if with_text else self._bare_documents(docs)
        spans = self._spans(found)
        return [
            [
                _hit(documents[doc], score, number, spans.get(doc, ()))
                for doc, score, number in zip(
                    docs[:n].tolist(), scores[:n].tolist(), numbers[:n].tolist(), strict=True
                )
                if doc in documents
            ]
            for docs, scores, numbers, n in zip(
                found.docs, found.scores, _passage_numbers(found), found.counts, strict=True
            )
        ]

    def query_arrays(
        self, queries: Sequence[str], mode: Mode, learned: TermWeights | None = None
    ) -> QueryArrays:
        """As ``QueryVectors.arrays``: indptr, terms, weights by which ``search`` finds texts."""
        return self._queries.arrays(queries, mode, learned)

    def query_vectors(self, queries: Sequence[str], mode: Mode = "anchored") -> TermWeights:
        """(Q, n_terms + n_words) the vectors by which ``search`` finds these texts."""
        indptr, terms, weights = self._queries.arrays(queries, mode)
        shape = (len(queries), self.index.n_terms + self.index.n_words)
        return sp.csr_array((weights, terms.astype(np.int64), indptr), shape=shape)

    def document(self, doc_id: str) -> Document:
        """The document as it was added.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        return self.index.document(doc_id)

    def explain(self, query: str, doc_id: str, mode: Mode = "anchored") -> list[TermMatch]:
        """What each matching term adds to the document's score, most first.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        return self._explainer.explain(query, doc_id, mode)

    def query_terms(self, query: str, mode: Mode = "anchored") -> list[WeightedTerm]:
        """What a query searches for: the terms of its vector, the greatest first."""
        return self._explainer.query_terms(query, mode)

    def document_terms(self, doc_id: str) -> list[WeightedTerm]:
        """What the index holds of a document: the terms of its vector, the greatest first.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        return self._explainer.document_terms(doc_id)

    def highlights(
        self, query: str, doc_id: str, mode: Mode = "anchored", *, tracer: Tracer | None = None
    ) -> list[Highlight]:
        """Where the document says what the query found it by, in the order of its text.

        Args:
            query: As searched.
            doc_id: Of a hit.
            mode: As searched.
            tracer: The index's document encoder (a network): with it also from where it read those
                expansions that the query found.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        return self._explainer.highlights(query, doc_id, mode, tracer=tracer)

    def snippet(
        self, query: str, hit: Hit, mode: Mode = "anchored", *, length: int = 240
    ) -> Snippet:
        """The part of a hit's text, or of its passage, that says most of what the query found.

        Args:
            query: As searched.
            hit: What was found.
            mode: As searched.
            length: Characters at most, >= 1.
        """
        return self._explainer.snippet(query, hit, mode, length=length)

    # hits

    def _bare_documents(self, docs: Sequence[int]) -> dict[int, Document]:
        return {doc: Document(doc_id, "") for doc, doc_id in self.index.doc_ids(docs).items()}

    def _spans(self, found: Hits) -> Mapping[int, Sequence[tuple[int, int]]]:
        """doc number -> where its passages are, of the hits that have several."""
        if found.passages is None:
            return {}
        return self.index.passage_spans(np.unique(found.docs[found.passages >= 0]).tolist())


def checked_k(k: int, n_documents: int, name: str = "k") -> int:
    """k, or the number of documents if that is less: no more can be found.

    Raises:
        InvalidInputError: k is no integer >= 1.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InvalidInputError(f"{name} is {k!r}; want an integer >= 1")
    return min(int(k), max(n_documents, 1))


def _encoders(index: Index) -> tuple[Encoder, Analyzer]:
    """Those that the index was made with."""
    settings = index.settings
    if "model" not in settings:
        raise InvalidInputError(
            f"{index.path} holds vectors without text or model; search it with Index.search"
        )
    return query_encoder(index.path, settings["model"]), Analyzer.of(settings)


def query_encoder(path: Path, model: str) -> Encoder:
    """The one that an index keeps, or else its model's."""
    folder = path / QUERY_ENCODER
    return LookupEncoder.load(folder) if folder.is_dir() else load_encoder(model, role="query")


def _hit(document: Document, score: float, number: int, spans: Sequence[tuple[int, int]]) -> Hit:
    passage = None
    if number >= 0 and spans:
        start, end = spans[number]
        passage = Passage(number, start, end, document.text[start:end])
    return Hit(document.doc_id, score, document.text, document.title, document.metadata, passage)


def _columns(found: Hits, start: int, stop: int) -> Hits:
    """The hits of one query from rank ``start`` to before ``stop``."""
    part = slice(start, stop)
    return replace(
        found,
        docs=found.docs[:, part],
        scores=found.scores[:, part],
        counts=np.array([stop - start], np.int32),
        passages=None if found.passages is None else found.passages[:, part],
    )


def _passage_numbers(found: Hits) -> NDArray[np.int32]:
    return np.full(found.docs.shape, -1, np.int32) if found.passages is None else found.passages
