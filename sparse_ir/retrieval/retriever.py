"""SparseRetriever: query text in, ranked documents out, in one pass over one index.

Anchored search (the default) adds BM25 and the learned score: a document's score is
``sum over words of tf idf x stored weight + g x sum over word pieces of query x stored weight``.
Both sums run over one query vector and one inverted index. The modes differ only in that vector.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, get_args, overload

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hit, Hits, Passage
from sparse_ir.index import bm25
from sparse_ir.index.filters import Filter
from sparse_ir.index.params import Approximate, Exact
from sparse_ir.index.passages import StoredPassage
from sparse_ir.index.reader import EXACT, Index
from sparse_ir.retrieval.best_passage import Vectors, learned_part, search_by_best_passage
from sparse_ir.retrieval.highlights import (
    Field,
    Highlight,
    Snippet,
    Span,
    Tracer,
    cut_snippet,
    find_highlights,
)
from sparse_ir.vectors import TermWeights, append_terms
from sparse_ir.vocabulary import Vocabulary, require_same_vocabulary

Mode = Literal["anchored", "learned", "lexical"]
QUERY_ENCODER = "query_encoder"  # folder inside an index: searching needs no other model
_STREAMED = 128  # hits whose texts are read together, and those of a stream's first search
_STREAM_GROWTH = 4  # all searches of a stream together take a third more than the last
_PRIOR_DOCS = 300  # chosen on dev splits: flat from 0 to 1,000 at 5,000 documents


class Retriever(Protocol):
    """Anything that ranks documents for queries."""

    def search(self, queries: Sequence[str], k: int = 10) -> list[list[Hit]]:
        """The k best documents of each query, best first."""
        ...


@dataclass(frozen=True, slots=True)
class TermMatch:
    """What one term adds to a document's score."""

    term: str
    block: Literal["lexical", "learned"]
    query_weight: float
    document_weight: float
    product: float
    is_expansion: bool
    """A learned term that the document's own text does not contain."""


@dataclass(frozen=True, slots=True)
class WeightedTerm:
    """A term of a query or document."""

    term: str
    block: Literal["lexical", "learned"]
    weight: float
    is_expansion: bool
    """A learned term that the text itself does not contain."""


class SparseRetriever:
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
        self._idf: dict[str, tuple[int, float]] = {}

    @classmethod
    def open(cls, path: str | Path = ".sparse-ir") -> SparseRetriever:
        """A retriever for the index in the folder ``path``, as last committed.

        Raises:
            InvalidInputError: there is no index, or it holds vectors without text.
            IndexFormatError: a file of it is corrupt.
        """
        index = Index.open(path)
        try:
            if "model" not in index.settings:
                raise InvalidInputError(
                    f"{path} holds vectors without text or model; search it with Index.search"
                )
            encoder = query_encoder(Path(path), index.settings["model"])
            return cls(index, encoder, Analyzer(index.settings["language"]))
        except BaseException:
            index.close()
            raise

    def reopened(self) -> SparseRetriever:
        """A retriever of the same index as committed by now; this one stays open.

        Costs what opening the index does: encoder and analyzer are shared.
        """
        return SparseRetriever(Index.open(self.index.path), self._encoder, self._analyzer)

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
            k: Hits wanted a query, >= 1.
            mode: ``anchored`` = BM25 + g x learned, ``learned``, or ``lexical`` = BM25.
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
        return await asyncio.to_thread(lambda: self.search(queries, k, **options))

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
        """As ``search``, giving arrays, without reading any document's text."""
        vectors = self.query_arrays(queries, mode)
        return self.search_by_vectors(
            vectors, k, mode=mode, filter=filter, plan=plan, threads=threads
        )

    def search_by_vectors(
        self,
        vectors: Vectors,
        k: int,
        *,
        mode: Mode = "anchored",
        filter: Filter | None = None,
        plan: Exact | Approximate = EXACT,
        threads: int = 1,
    ) -> Hits:
        """As ``search_arrays``, for queries that ``query_arrays`` gave for the same mode."""

        def search(vectors: Vectors, k: int) -> Hits:
            return self.index.search_terms(*vectors, k, plan=plan, threads=threads, filter=filter)

        if mode == "lexical" or not self.index.has_passages:
            return search(vectors, k)
        return search_by_best_passage(self.index, vectors, k, search)

    def scores(
        self, vectors: Vectors, row: int, docs: NDArray[np.int64], *, mode: Mode = "anchored"
    ) -> NDArray[np.float32]:
        """(n,) what ``search`` would score these documents, found or not, from the forward index.

        Args:
            vectors: Of ``query_arrays`` for this mode.
            row: Which query.
            docs: (n,) doc numbers, ascending.
        """
        indptr, terms, weights = vectors
        part = slice(int(indptr[row]), int(indptr[row + 1]))
        stored = self.index.vectors(docs.astype(np.uint64))
        laid_out = np.zeros(stored.shape[1])
        laid_out[terms[part]] = weights[part]
        scores = np.asarray(stored @ laid_out)
        if mode == "lexical" or not self.index.has_passages:
            return scores.astype(np.float32)
        ranked, exact, _ = self.index.rank_by_best_passage(
            docs, scores.astype(np.float32), *learned_part(vectors, row, self.index.n_terms)
        )
        return exact[np.argsort(ranked)]

    def hits(self, found: Hits, *, with_text: bool = True) -> list[list[Hit]]:
        """The documents of arrays that a search gave, ready to be shown."""
        docs = np.unique(found.docs[found.docs >= 0]).tolist()
        documents = self.index.documents(docs) if with_text else self._bare_documents(docs)
        spans = self._spans(found)
        return [
            [
                _hit(documents[doc], score, number, spans.get(doc, ()))
                for doc, score, number in zip(
                    docs[:n].tolist(), scores[:n].tolist(), numbers[:n].tolist(), strict=True
                )
            ]
            for docs, scores, numbers, n in zip(
                found.docs, found.scores, _passage_numbers(found), found.counts, strict=True
            )
        ]

    def query_vectors(self, queries: Sequence[str], mode: Mode = "anchored") -> TermWeights:
        """(Q, n_terms + n_words) the vectors by which ``search`` finds these texts."""
        indptr, terms, weights = self.query_arrays(queries, mode)
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
        vectors = self.query_arrays([query], mode)
        _, terms, weights = vectors
        weight_of = self._document_weights(doc_id, vectors, mode)
        own = self._own_terms(self.index.document(doc_id).content)
        words = self.index.words([t for t in terms.tolist() if t >= self.index.n_terms])
        matches = [
            self._match(term, weight, weight_of[term], words, own)
            for term, weight in zip(terms.tolist(), weights.tolist(), strict=True)
            if term in weight_of
        ]
        return sorted(matches, key=lambda match: -match.product)

    def query_terms(self, query: str, mode: Mode = "anchored") -> list[WeightedTerm]:
        """What a query searches for: the terms of its vector, the greatest first."""
        _, terms, weights = self.query_arrays([query], mode)
        return self._weighted(terms, weights, self._own_terms(query))

    def document_terms(self, doc_id: str) -> list[WeightedTerm]:
        """What the index holds of a document: the terms of its vector, the greatest first.

        Raises:
            InvalidInputError: unknown doc_id.
        """
        row, own = self.index.vector(doc_id), self._own_terms(self.document(doc_id).content)
        return self._weighted(row.indices, row.data, own)

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
        document, matches = self.document(doc_id), self.explain(query, doc_id, mode)
        sources = self._trace(query, document, matches, mode, tracer) if tracer else None
        return find_highlights(document, matches, self._analyzer, self._encoder, sources=sources)

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
        if length < 1:
            raise InvalidInputError(f"length is {length}; want an integer >= 1")
        document, matches = self.document(hit.doc_id), self.explain(query, hit.doc_id, mode)
        within = (hit.passage.start, hit.passage.end) if hit.passage else None
        found = find_highlights(document, matches, self._analyzer, self._encoder, within=within)
        return cut_snippet(document.text, found, length=length, within=within)

    # query vectors

    def query_arrays(
        self, queries: Sequence[str], mode: Mode, learned: TermWeights | None = None
    ) -> Vectors:
        """indptr, terms, weights of the query vectors of a mode.

        Args:
            queries: Q texts.
            mode: As ``search``.
            learned: What the query encoder gives for the texts, where that is known already.
        """
        if mode not in get_args(Mode):
            raise InvalidInputError(f"mode is {mode!r}; want {', '.join(get_args(Mode))}")
        n = len(queries)
        lexical = [self._lexical(text) for text in queries] if mode != "learned" else [{}] * n
        if mode == "lexical":
            return append_terms(sp.csr_array((n, self.index.n_terms), dtype=np.float32), lexical)
        indptr, terms, weights = append_terms(
            self._adapted_encoder.encode(queries) if learned is None else learned, lexical
        )
        if mode == "anchored":
            g = np.float32(self.index.settings["anchor_weight"])
            weights[terms < self.index.n_terms] *= g
        return indptr, terms, weights

    @cached_property
    def _adapted_encoder(self) -> Encoder:
        """The query encoder; its table is adapted to this index's documents.

        Expansion makes other terms frequent than writing does, and every collection has its own.
        So each weight becomes its geometric mean with the term's idf among the index's documents
        and some more, in which it is as frequent as its weight, taken for an idf, says.
        """
        encoder, n_docs = self._encoder, len(self.index)
        if not (isinstance(encoder, LookupEncoder) and self.index.settings["collection_idf"]):
            return encoder
        frequencies = self.index.document_frequencies(
            np.arange(self.index.n_terms, dtype=np.uint32)
        )
        expected = _PRIOR_DOCS * np.exp(-encoder.weights)
        idf = bm25.idf(frequencies + expected, n_docs + _PRIOR_DOCS)
        return encoder.with_weights(np.sqrt(encoder.weights * idf).astype(np.float32))

    def _lexical(self, text: str) -> Mapping[int, float]:
        """{term number: count x idf} of the text's words that the index knows."""
        counts = Counter(self._analyzer.words(text))
        self._look_up([word for word in counts if word not in self._idf])
        known = [(self._idf[word], n) for word, n in counts.items() if word in self._idf]
        return {term: n * idf for (term, idf), n in known}

    def _look_up(self, words: Sequence[str]) -> None:
        if not words:
            return
        numbers = self.index.word_numbers(words)
        terms = np.fromiter(numbers.values(), np.uint32, len(numbers))
        frequencies = self.index.document_frequencies(terms)
        idf = bm25.idf(frequencies, len(self.index)).tolist()
        for word, df, weight in zip(numbers, frequencies.tolist(), idf, strict=True):
            if df:  # a word whose documents are all deleted matches nothing
                self._idf[word] = (numbers[word], weight)

    # hits

    def _bare_documents(self, docs: Sequence[int]) -> dict[int, Document]:
        return {doc: Document(doc_id, "") for doc, doc_id in self.index.doc_ids(docs).items()}

    # explaining

    def _document_weights(self, doc_id: str, query: Vectors, mode: Mode) -> dict[int, float]:
        """{term: weight}; the learned ones are those of the passage that matches best."""
        document = self.index.vector(doc_id)
        weight_of = dict(zip(document.indices.tolist(), document.data.tolist(), strict=True))
        best = self._best_passage(doc_id, query) if mode != "lexical" else None
        if best is None:
            return weight_of
        words = {t: weight for t, weight in weight_of.items() if t >= self.index.n_terms}
        return {**dict(zip(best.terms.tolist(), best.weights.tolist(), strict=True)), **words}

    def _best_passage(self, doc_id: str, query: Vectors) -> StoredPassage | None:
        """The passage that matches best; None if the document is one."""
        if not self.index.has_passages:
            return None
        doc = self.index.doc_number(doc_id)
        several = self.index.passages([doc])
        if not several:
            return None
        _, _, numbers = self.index.rank_by_best_passage(
            np.array([doc]), np.zeros(1, np.float32), *learned_part(query, 0, self.index.n_terms)
        )
        return several[doc][int(numbers[0])]

    def _trace(
        self,
        query: str,
        document: Document,
        matches: Sequence[TermMatch],
        mode: Mode,
        tracer: Tracer,
    ) -> dict[str, tuple[Field, Span]]:
        """Where the network read the expansions among the matches."""
        vectors = self.query_arrays([query], mode)
        wanted = {match.term for match in matches if match.is_expansion}
        learned = [term for term in vectors[1].tolist() if term < self.index.n_terms]
        terms = [term for term in learned if self.vocabulary[term] in wanted]
        part = self._best_passage(document.doc_id, vectors)
        start, end = (part.start, part.end) if part else (0, len(document.text))
        begin = len(document.title) + 1 if document.title else 0
        text = document.text[start:end]
        read = f"{document.title} {text}" if document.title else text
        return {
            self.vocabulary[term]: ("title", span)
            if span[1] <= len(document.title)
            else ("text", (span[0] - begin + start, span[1] - begin + start))
            for term, span in tracer.sources(read, terms).items()
        }

    def _spans(self, found: Hits) -> Mapping[int, Sequence[tuple[int, int]]]:
        """doc number -> where its passages are, of the hits that have several."""
        if found.passages is None:
            return {}
        return self.index.passage_spans(np.unique(found.docs[found.passages >= 0]).tolist())

    def _own_terms(self, text: str) -> set[int]:
        """Learned terms that the text itself contains."""
        return set(self._encoder.encode([text]).indices.tolist())

    def _weighted(
        self, terms: NDArray[Any], weights: NDArray[np.float32], own: set[int]
    ) -> list[WeightedTerm]:
        n_terms, names = self.index.n_terms, self._encoder.vocabulary
        words = self.index.words([term for term in terms.tolist() if term >= n_terms])
        found = [
            WeightedTerm(names[term], "learned", weight, term not in own)
            if term < n_terms
            else WeightedTerm(words[term], "lexical", weight, False)
            for term, weight in zip(terms.tolist(), weights.tolist(), strict=True)
        ]
        return sorted(found, key=lambda one: -one.weight)

    def _match(
        self,
        term: int,
        query_weight: float,
        document_weight: float,
        words: Mapping[int, str],
        own: set[int],
    ) -> TermMatch:
        is_learned = term < self.index.n_terms
        return TermMatch(
            term=self._encoder.vocabulary[term] if is_learned else words[term],
            block="learned" if is_learned else "lexical",
            query_weight=query_weight,
            document_weight=document_weight,
            product=query_weight * document_weight,
            is_expansion=is_learned and term not in own,
        )


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
