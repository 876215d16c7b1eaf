"""``Approximate(recall=...)`` made true: what each recall takes is learned from searches.

Queries are given, or made of the index's own documents: stretches of their texts, in every mode,
or, where there are no texts, some terms of their vectors, with stored weights and with idf.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.index import bm25
from sparse_ir.index.reader import Index
from sparse_ir.index.recall import RecallCurves, measure, pseudo_queries
from sparse_ir.index.writer import IndexWriter
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.retriever import SparseRetriever
from sparse_ir.vectors import TermWeights, as_term_weights

_WORDS = (1, 2, 4, 8, 16, 32)  # of texts that stand for queries
DEPTHS = (10, 100, 300)  # hits a query; the last for what a hybrid or passages ask for


def tune_recall(
    path: str | Path,
    queries: Sequence[str] | TermWeights | None = None,
    *,
    ks: Sequence[int] = DEPTHS,
    n_documents: int = 300,
    seed: int = 0,
    on_progress: Callable[[int], None] = lambda n_searches: None,
) -> RecallCurves:
    """The index at ``path`` keeps what was measured, and ``Approximate(recall=...)`` goes by it.

    Args:
        path: Folder of the index.
        queries: Texts, or (Q, n_terms) vectors, like those that will come; else they are made of
            documents. Those of fewer terms than 30 of them have, searches go on to answer exactly.
        ks: Hits a query, ascending, each >= 1.
        n_documents: From so many documents queries are made, of every length.
        seed: Chooses the documents, and what of them.
        on_progress: Told after each search how many queries it answered.

    Raises:
        InvalidInputError: no index, a bad argument, or too few queries.
        IndexLockedError: another writer has the index open.
    """
    if not ks or any(k < 1 for k in ks) or n_documents < 1:
        raise InvalidInputError(
            f"ks is {list(ks)}, n_documents is {n_documents}; want integers >= 1"
        )
    with Index.open(path) as index:
        kinds = _made(index, n_documents, seed) if queries is None else _given(index, queries)
        curves = [curve for k in sorted(set(ks)) for curve in measure(index, kinds, k, on_progress)]
        if not curves:
            raise InvalidInputError(
                "too few queries to tune by; want 30 of one length that have hits"
            )
        source = "sampled" if queries is None else "given"
        found = RecallCurves(len(index), source, tuple(curves))
    with IndexWriter.open(path) as writer:
        writer.keep_recall(found)
    return found


def _given(index: Index, queries: Sequence[str] | TermWeights) -> list[TermWeights]:
    if isinstance(queries, Sequence):
        return _in_all_modes(index, queries)
    return [as_term_weights(queries)]


def _made(index: Index, n: int, seed: int) -> list[TermWeights]:
    docs, vectors = index.sampled_vectors(n, seed)
    texts = _stretches(list(index.documents(docs).values()), seed)
    if texts and "model" in index.settings:
        return _in_all_modes(index, texts)
    idf = bm25.idf(index.document_frequencies(vectors.indices.astype(np.uint32)), len(index))
    return [pseudo_queries(vectors, weights, seed) for weights in (vectors.data, idf)]


def _stretches(documents: Sequence[Document], seed: int) -> list[str]:
    """Of every document that has so many words, some that follow one another."""
    random = np.random.default_rng(seed)
    texts = []
    for words in (document.content.split() for document in documents):
        for n in _WORDS:
            if len(words) >= n:
                start = int(random.integers(0, len(words) - n + 1))
                texts.append(" ".join(words[start : start + n]))
    return texts


def _in_all_modes(index: Index, texts: Sequence[str]) -> list[TermWeights]:
    with SparseRetriever.open(index.path) as retriever:
        return [retriever.query_vectors(texts, mode) for mode in get_args(Mode)]
