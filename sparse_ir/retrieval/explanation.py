"""Explainer: why a document was found, in terms, and where its text says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder, TextEncoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hit
from sparse_ir.index.passages import StoredPassage
from sparse_ir.index.reader import Index
from sparse_ir.retrieval.best_passage import learned_part
from sparse_ir.retrieval.highlights import (
    Field,
    Highlight,
    Snippet,
    Span,
    TermMatch,
    Tracer,
    cut_snippet,
    find_highlights,
)
from sparse_ir.retrieval.query_vectors import Mode, QueryArrays, QueryVectors


@dataclass(frozen=True, slots=True)
class WeightedTerm:
    """A term of a query or document."""

    term: str
    block: Literal["lexical", "learned"]
    weight: float
    is_expansion: bool
    """A learned term that the text itself does not contain."""


class Explainer:
    """Explains searches of one opened index; safe to share between threads.

    Args:
        index: An index of text.
        encoder: Query encoder of the index's learned vocabulary.
        analyzer: Of the language that the index was built with.
        queries: What makes the query vectors.
    """

    def __init__(
        self, index: Index, encoder: Encoder, analyzer: Analyzer, queries: QueryVectors
    ) -> None:
        self._index = index
        self._encoder = encoder
        self._analyzer = analyzer
        self._queries = queries

    def explain(self, query: str, doc_id: str, mode: Mode = "anchored") -> list[TermMatch]:
        """As ``SparseRetriever.explain``."""
        vectors = self._queries.arrays([query], mode)
        _, terms, weights = vectors
        weight_of = self._document_weights(doc_id, vectors, mode)
        own = self._own_terms(self._index.document(doc_id).content)
        words = self._index.words([t for t in terms.tolist() if t >= self._index.n_terms])
        matches = [
            self._match(term, weight, weight_of[term], words, own)
            for term, weight in zip(terms.tolist(), weights.tolist(), strict=True)
            if term in weight_of
        ]
        return sorted(matches, key=lambda match: -match.product)

    def query_terms(self, query: str, mode: Mode = "anchored") -> list[WeightedTerm]:
        """As ``SparseRetriever.query_terms``."""
        _, terms, weights = self._queries.arrays([query], mode)
        return self._weighted(terms, weights, self._own_terms(query))

    def document_terms(self, doc_id: str) -> list[WeightedTerm]:
        """As ``SparseRetriever.document_terms``."""
        row, own = self._index.vector(doc_id), self._own_terms(self._index.document(doc_id).content)
        return self._weighted(row.indices, row.data, own)

    def highlights(
        self, query: str, doc_id: str, mode: Mode = "anchored", *, tracer: Tracer | None = None
    ) -> list[Highlight]:
        """As ``SparseRetriever.highlights``."""
        document, matches = self._index.document(doc_id), self.explain(query, doc_id, mode)
        sources = self._trace(query, document, matches, mode, tracer) if tracer else None
        return find_highlights(document, matches, self._analyzer, self._encoder, sources=sources)

    def snippet(
        self, query: str, hit: Hit, mode: Mode = "anchored", *, length: int = 240
    ) -> Snippet:
        """As ``SparseRetriever.snippet``."""
        if length < 1:
            raise InvalidInputError(f"length is {length}; want an integer >= 1")
        document, matches = self._index.document(hit.doc_id), self.explain(query, hit.doc_id, mode)
        within = (hit.passage.start, hit.passage.end) if hit.passage else None
        found = find_highlights(document, matches, self._analyzer, self._encoder, within=within)
        return cut_snippet(document.text, found, length=length, within=within)

    def _document_weights(self, doc_id: str, query: QueryArrays, mode: Mode) -> dict[int, float]:
        """{term: weight}; the learned ones are those of the passage that matches best."""
        document = self._index.vector(doc_id)
        weight_of = dict(zip(document.indices.tolist(), document.data.tolist(), strict=True))
        best = self._best_passage(doc_id, query) if mode != "lexical" else None
        if best is None:
            return weight_of
        words = {t: weight for t, weight in weight_of.items() if t >= self._index.n_terms}
        return {**dict(zip(best.terms.tolist(), best.weights.tolist(), strict=True)), **words}

    def _best_passage(self, doc_id: str, query: QueryArrays) -> StoredPassage | None:
        """The passage that matches best; None if the document is one."""
        if not self._index.has_passages:
            return None
        doc = self._index.doc_number(doc_id)
        several = self._index.passages([doc])
        if not several:
            return None
        _, _, numbers = self._index.rank_by_best_passage(
            np.array([doc]), np.zeros(1, np.float32), *learned_part(query, 0, self._index.n_terms)
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
        vectors = self._queries.arrays([query], mode)
        wanted = {match.term for match in matches if match.is_expansion}
        learned = [term for term in vectors[1].tolist() if term < self._index.n_terms]
        terms = [term for term in learned if self._encoder.vocabulary[term] in wanted]
        part = self._best_passage(document.doc_id, vectors)
        start, end = (part.start, part.end) if part else (0, len(document.text))
        begin = len(document.title) + 1 if document.title else 0
        text = document.text[start:end]
        read = f"{document.title} {text}" if document.title else text
        found: dict[int, tuple[Field, Span]] = {
            term: ("title", span)
            if span[1] <= len(document.title)
            else ("text", (span[0] - begin + start, span[1] - begin + start))
            for term, span in tracer.sources(read, terms).items()
        }
        if document.title.strip() and self._analyzer.title_weight > 1:  # it is read by itself too
            others = [term for term in terms if term not in found]
            spans = tracer.sources(document.title, others)
            found |= {term: ("title", span) for term, span in spans.items()}
        return {self._encoder.vocabulary[term]: source for term, source in found.items()}

    def _own_terms(self, text: str) -> set[int]:
        """Learned terms that the text itself contains."""
        if _knows_own_terms(self._encoder):
            return self._encoder.own_terms(text)
        return set(self._encoder.encode([text]).indices.tolist())  # a table adds none

    def _weighted(
        self, terms: NDArray[Any], weights: NDArray[np.float32], own: set[int]
    ) -> list[WeightedTerm]:
        n_terms, names = self._index.n_terms, self._encoder.vocabulary
        words = self._index.words([term for term in terms.tolist() if term >= n_terms])
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
        is_learned = term < self._index.n_terms
        return TermMatch(
            term=self._encoder.vocabulary[term] if is_learned else words[term],
            block="learned" if is_learned else "lexical",
            query_weight=query_weight,
            document_weight=document_weight,
            product=query_weight * document_weight,
            is_expansion=is_learned and term not in own,
        )


def _knows_own_terms(encoder: Encoder) -> TypeGuard[TextEncoder]:
    return hasattr(encoder, "own_terms")
