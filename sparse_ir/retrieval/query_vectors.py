"""QueryVectors: a query's text as one vector over both blocks of an index.

Lexical terms weigh count x idf, learned ones what the query encoder says. In anchored mode learned
ones are multiplied by g, lexical ones by how much the word says in any text. The modes differ only
in this vector: one pass over one inverted index answers each.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.encoder import Encoder
from sparse_ir.encoders.lookup import LookupEncoder, require_texts
from sparse_ir.errors import InvalidInputError
from sparse_ir.index import bm25
from sparse_ir.index.reader import Index
from sparse_ir.vectors import TermWeights, append_terms

Mode = Literal["anchored", "learned", "lexical"]
QueryArrays = tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.float32]]
"""indptr, terms, weights of query vectors: a CSR matrix, as the index takes it."""

_PRIOR_DOCS = 300  # chosen on dev splits: flat from 0 to 1,000 at 5,000 documents
_USUAL_LENGTH = 150  # words; chosen, as the root and the limits, on dev splits of 10 to 157
_SHORTEST, _LONGEST = 0.3, 1.2  # roots of lengths over the usual one, beyond which g stays


class QueryVectors:
    """Makes the query vectors of one opened index; safe to share between threads.

    Args:
        index: An index of text.
        encoder: Query encoder of the index's learned vocabulary.
        analyzer: Of the language that the index was built with.
    """

    def __init__(self, index: Index, encoder: Encoder, analyzer: Analyzer) -> None:
        self._index = index
        self._encoder = encoder
        self._analyzer = analyzer
        self._idf: dict[str, tuple[int, float]] = {}
        self._significance = _significance(encoder)

    def arrays(
        self, queries: Sequence[str], mode: Mode, learned: TermWeights | None = None
    ) -> QueryArrays:
        """indptr, terms, weights of the query vectors of a mode.

        Args:
            queries: Q texts.
            mode: As ``search``.
            learned: What the query encoder gives for the texts, where that is known already.

        Raises:
            InvalidInputError: an unknown mode, or as ``require_texts``.
        """
        if mode not in get_args(Mode):
            raise InvalidInputError(f"mode is {mode!r}; want {', '.join(get_args(Mode))}")
        require_texts(queries)
        n = len(queries)
        lexical = [self._lexical(text, mode) for text in queries] if mode != "learned" else [{}] * n
        if mode == "lexical":
            return append_terms(sp.csr_array((n, self._index.n_terms), dtype=np.float32), lexical)
        indptr, terms, weights = append_terms(
            self._adapted_encoder.encode(queries) if learned is None else learned, lexical
        )
        if mode == "anchored":
            weights[terms < self._index.n_terms] *= anchor_weight(self._index.settings)
        return indptr, terms, weights

    @cached_property
    def _adapted_encoder(self) -> Encoder:
        """The query encoder; its table is adapted to this index's documents."""
        encoder = self._encoder
        if not (isinstance(encoder, LookupEncoder) and self._index.settings["collection_idf"]):
            return encoder
        frequencies = self._index.document_frequencies(
            np.arange(self._index.n_terms, dtype=np.uint32)
        )
        return encoder.with_weights(adapted_weights(encoder.weights, frequencies, len(self._index)))

    def _lexical(self, text: str, mode: Mode) -> Mapping[int, float]:
        """{term number: weight} of the text's words that the index knows."""
        plain = self._analyzer.plain_words(text)
        words = self._analyzer.stems(plain)
        self._look_up([word for word in dict.fromkeys(words) if word not in self._idf])
        weights: dict[int, float] = defaultdict(float)
        for form, word in zip(plain, words, strict=True):
            if word in self._idf:
                term, idf = self._idf[word]
                weights[term] += idf * (self._significance(form) if mode == "anchored" else 1)
        return weights

    def _look_up(self, words: Sequence[str]) -> None:
        if not words:
            return
        numbers = self._index.word_numbers(words)
        terms = np.fromiter(numbers.values(), np.uint32, len(numbers))
        frequencies = self._index.document_frequencies(terms)
        idf = bm25.idf(frequencies, len(self._index)).tolist()
        for word, df, weight in zip(numbers, frequencies.tolist(), idf, strict=True):
            if df:  # a word whose documents are all deleted matches nothing
                self._idf[word] = (numbers[word], weight)


def adapted_weights(
    weights: NDArray[np.float32], frequencies: NDArray[np.integer[Any]], n_docs: int
) -> NDArray[np.float32]:
    """A query table adapted to a collection.

    Expansion makes other terms frequent than writing does, and every collection has its own.
    So each weight becomes its geometric mean with the term's idf among the collection's documents
    and some more, in which it is as frequent as its weight, taken for an idf, says.

    Args:
        weights: (V,) the table.
        frequencies: (V,) how many documents have each term.
        n_docs: Of the collection.
    """
    expected = _PRIOR_DOCS * np.exp(-weights)
    idf = bm25.idf(frequencies + expected, n_docs + _PRIOR_DOCS)
    adapted: NDArray[np.float32] = np.sqrt(weights * idf).astype(np.float32)
    return adapted


def anchor_weight(settings: Mapping[str, Any]) -> float:
    """g of an index: the model's, which is for 150 words a document, more for fewer.

    A short text holds fewer of the words by which it could be asked for, and each but once. So
    BM25 says less of it, beside the learned terms.

    Args:
        settings: Of an index of text.
    """
    longer = math.sqrt(settings["average_length"] / _USUAL_LENGTH)
    of_model: float = settings["anchor_weight"]
    return of_model / min(max(longer, _SHORTEST), _LONGEST)


def _significance(encoder: Encoder) -> Callable[[str], float]:
    """How much a word says in any text, by the query table; 1 where there is none.

    How rare a word is in a collection says little of it where that is small or on one matter:
    "obeyed" is as rare among abstracts as what was meant to be found.
    """
    return cache(encoder.significance) if isinstance(encoder, LookupEncoder) else lambda word: 1.0
