"""Neighbour expansion: a document takes over what the documents nearest to it have in common.

Documents on one matter say it in different words, and a network that reads them one by one expands
each its own way. So each learned weight becomes the greater of the document's own and a share of
the mean of its nearest neighbours'. This happens once, when documents are added; queries do not
change. BM25's part stays as it is. Documents of a model that prunes, as mini, are pruned again
(left as long as they get, those of dclaw_headings are found worse: learned .603, not .622); of
other models none gets shorter.

Source: document expansion by a neighbourhood as in Tao, Wang, Mei and Zhai 2006, "Language Model
Information Retrieval with Document Expansion", NAACL, section 3. There word counts are mixed, as
smoothing does; here the greater counts, so that what a document alone says keeps its weight.
(Mixing a share of .3 cost .018 learned on scifact's train questions, where this gained .012.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from sparse_ir.encoders.pruning import prune
from sparse_ir.errors import InvalidInputError
from sparse_ir.index import bm25
from sparse_ir.index.merge import Rows
from sparse_ir.index.passages import Passages, StoredPassage
from sparse_ir.index.reader import Index
from sparse_ir.index.writer import IndexWriter
from sparse_ir.vectors import TermWeights

SETTING = "neighbour_weight"
PRUNES = "prunes"  # setting: whether documents' least terms are dropped; older indexes have none
TOP_TERMS = "top_terms"  # setting: terms of a text that the encoder kept at most, if it had a limit
DEFAULT_WEIGHT = 0.7  # chosen on dev splits, as the most terms were: flat from .5 to .9
_EXPANDED = "expanded"  # setting: documents numbered below it have their neighbours' terms
_LEAST_DOCUMENTS = 100  # among fewer the nearest are not near
_NEIGHBOURS = 3
_LEAST_SIMILARITY = 0.1
_SEARCHED_TERMS = 20  # of a document, by which its neighbours are found; 40 found no better ones
_LEAST_RATIO = 0.2  # of the greatest weight; less is dropped: about as many terms stay
_MOST_TERMS = 150  # learned ones, of an expanded document


def expand(
    writer: IndexWriter,
    on_progress: Callable[[int], None] | None = None,
) -> None:
    """Documents added since the last call have their neighbours' terms, uncommitted.

    Neighbours are looked for among all documents. Those that were expanded before stay as they are,
    so few new ones cost little. The documents of an index of fewer than 100 wait until it has more.

    Args:
        writer: Of an index of text; nothing happens if its settings name no neighbour weight.
        on_progress: Told how many more documents are done.
    """
    if is_expanded(writer.settings, len(writer)):
        return
    weight, first = writer.settings[SETTING], writer.settings.get(_EXPANDED, 0)
    end = writer.settings["next_doc"]
    tell = on_progress or (lambda n: None)
    writer.flush()  # else ``index`` would build in memory what ``rewrite`` writes at once
    with writer.index() as index:
        expander = NeighbourExpander(
            index,
            weight,
            top_terms=writer.settings.get(TOP_TERMS, _MOST_TERMS),
            may_drop=writer.settings.get(PRUNES, True),
            threads=writer.params.n_threads,
        )

        def change(rows: Rows, passages: Passages) -> tuple[Rows, Passages]:
            changed = expander.expand(rows, passages)
            tell(len(rows[0]))
            return changed

        writer.rewrite(first, change)
    writer.keep(_EXPANDED, end)


def is_expanded(settings: Mapping[str, Any], n_docs: int) -> bool:
    """Whether ``expand`` has nothing to do in an index of these settings and so many documents."""
    is_done = settings.get(_EXPANDED, 0) == settings["next_doc"]
    return not settings.get(SETTING) or is_done or n_docs < _LEAST_DOCUMENTS


def checked_weight(weight: float) -> float:
    """The neighbour weight.

    Raises:
        InvalidInputError: it is not in 0..2.
    """
    if not 0 <= weight <= 2:
        raise InvalidInputError(f"the neighbour weight is {weight!r}; want 0..2, 0 for none")
    return float(weight)


class NeighbourExpander:
    """Expands documents of an index by their neighbours in it.

    Args:
        index: Holds the documents to be expanded, among all others, as they are before.
        weight: Share of the neighbours' mean weight that a document has at least, > 0.
        top_terms: Beyond which no text gets more learned terms, >= 1.
        may_drop: Whether terms below a fifth of the greatest weight, and beyond the 150 greatest,
            are dropped; else a document has no fewer than before.
        threads: Documents whose neighbours are searched at once, >= 1.
    """

    def __init__(
        self,
        index: Index,
        weight: float,
        *,
        top_terms: int = _MOST_TERMS,
        may_drop: bool = False,
        threads: int = 1,
    ) -> None:
        self._index = index
        self._weight = np.float32(weight)
        self._top_terms = min(top_terms, _MOST_TERMS)
        self._may_drop = may_drop
        self._threads = threads

    def expand(self, rows: Rows, passages: Passages) -> tuple[Rows, Passages]:
        """Stored rows and their passages, as they are to be stored now."""
        docs, indptr, terms, weights = rows
        n_terms = self._index.n_terms
        shape = (len(docs), n_terms + self._index.n_words)
        stored = sp.csr_array((weights, terms.astype(np.int64), indptr), shape=shape)
        lent = self._means(docs, stored) * self._weight
        learned = self._greatest(stored[:, :n_terms], lent)
        expanded = {
            doc: _expanded_passages(passages[doc], learned[[row]], lent[[row]])
            for row, doc in enumerate(docs.tolist())
            if doc in passages
        }
        joined = sp.hstack([learned, stored[:, n_terms:]], format="csr")
        joined.sort_indices()
        arrays = joined.indptr.astype(np.int64), joined.indices.astype(np.uint32), joined.data
        return (docs, *arrays), expanded

    def neighbours(self, docs: NDArray[np.uint64], stored: TermWeights) -> NDArray[np.int64]:
        """(n, up to 4) numbers of the documents nearest to each, up to 3; -1 for none.

        Nearest are those that share the most of its weight, terms by their idf. What shares less
        than a tenth of what the document shares with itself is no neighbour.

        Args:
            docs: (n,) doc numbers.
            stored: (n, n_terms + n_words) their weights.
        """
        terms, at = np.unique(stored.indices, return_inverse=True)
        frequencies = self._index.document_frequencies(terms.astype(np.uint32))
        idf = bm25.idf(frequencies, len(self._index)).astype(np.float32)
        weighed = sp.csr_array((stored.data * idf[at], stored.indices, stored.indptr), stored.shape)
        queries = prune(weighed, top_terms=_SEARCHED_TERMS)
        hits = self._index.search_terms(
            queries.indptr, queries.indices, queries.data, _NEIGHBOURS + 1, threads=self._threads
        )
        least = _LEAST_SIMILARITY * queries.multiply(stored).sum(axis=1)
        is_near = (hits.docs >= 0) & (hits.scores >= least[:, None])
        is_near &= hits.docs != docs.astype(np.int64)[:, None]
        is_near &= is_near.cumsum(axis=1) <= _NEIGHBOURS
        return np.where(is_near, hits.docs, -1)

    def _means(self, docs: NDArray[np.uint64], stored: TermWeights) -> TermWeights:
        """(n, n_terms) mean learned weights of three neighbours; a missing one counts as 0."""
        found = self.neighbours(docs, stored)
        numbers, columns = np.unique(found[found >= 0], return_inverse=True)
        indptr = np.concatenate(([0], (found >= 0).sum(axis=1).cumsum()))
        parts = np.full(len(columns), 1 / _NEIGHBOURS, np.float32)
        mean_of = sp.csr_array((parts, columns, indptr), shape=(len(docs), len(numbers)))
        means = mean_of @ self._index.vectors(numbers.astype(np.uint64))[:, : self._index.n_terms]
        means.sort_indices()  # a product's are in any order
        return means

    def _greatest(self, own: TermWeights, lent: TermWeights) -> TermWeights:
        """The greatest weights of both, as many as of its own at least, unless some may go."""
        both, counts = own.maximum(lent), np.diff(own.indptr).astype(np.int64)
        # What has more terms than a text may have is several passages.
        most = np.where(counts > self._top_terms, _MOST_TERMS, self._top_terms)
        great = prune(both, top_terms=most, prune_ratio=_LEAST_RATIO)
        if self._may_drop:
            return great
        return prune(both, top_terms=np.maximum(np.diff(great.indptr), counts))


def _expanded_passages(
    passages: Sequence[StoredPassage], learned: TermWeights, lent: TermWeights
) -> list[StoredPassage]:
    """Each passage takes over what its document does, and keeps none that its document drops.

    Args:
        passages: Of one document, as they were.
        learned: (1, n_terms) the document's weights as they are now.
        lent: (1, n_terms) what its neighbours lend.
    """
    terms = learned.indices.astype(np.uint32)
    least = _weights_at(terms, lent.indices, lent.data)
    result = []
    for one in passages:
        weights = np.maximum(_weights_at(terms, one.terms, one.weights), least)
        there = weights > 0
        result.append(StoredPassage(one.start, one.end, terms[there], weights[there]))
    return result


def _weights_at(
    wanted: NDArray[np.uint32], terms: NDArray[np.integer], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """(m,) the weights of these terms, 0 where there is none; both ascending."""
    if not len(terms):
        return np.zeros(len(wanted), np.float32)
    at = np.minimum(np.searchsorted(terms, wanted), len(terms) - 1)
    return np.where(terms[at] == wanted, weights[at], np.float32(0))
