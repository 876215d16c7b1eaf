"""Long documents as passages: cut at sentence ends, with overlap, as long as the encoder reads.

The document's vector is the greatest weight of each term in any passage, so that the index finds it
with every passage's terms at once. That sum is an upper bound of what the best passage alone would
score; ``retriever`` takes the difference off, and so a document scores as its best passage does.
Words (BM25) belong to the document as a whole and know nothing of passages.

Source: of the two ways to score a long document, the best passage's score is the one that stays
good as documents grow: Nguyen, MacAvaney, Yates 2023, "Adapting Learned Sparse Retrieval for Long
Documents", arXiv:2305.18494.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Protocol, TypeGuard

import numpy as np
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.index.passages import StoredPassage
from sparse_ir.sentences import SENTENCE_END
from sparse_ir.vectors import TermWeights

OVERLAP = 32  # tokens at most that two neighbours share, in whole sentences
_TITLE_SHARE = 4  # a title takes a fourth of the room at most

Span = tuple[int, int]  # of characters


class LimitedEncoder(Protocol):
    """An encoder that reads so many tokens of a text and no more."""

    room: int
    """Tokens of a text that are read, those it adds itself left out."""

    def token_spans(self, text: str) -> list[Span]:
        """Where in the text each token begins and ends."""
        ...


def has_limit(encoder: object) -> TypeGuard[LimitedEncoder]:
    """Whether the encoder leaves the ends of long texts unread."""
    return hasattr(encoder, "room") and hasattr(encoder, "token_spans")


def passages_of(
    document: Document, encoder: LimitedEncoder, *, overlap: int = OVERLAP
) -> list[tuple[Span, str]]:
    """The passages of a document: where each is in its text, and what to encode: title and it.

    Args:
        document: Of any length.
        encoder: Whose limit it is.
        overlap: As ``cut``.
    """
    room = encoder.room
    if len(document.content.encode()) <= room:  # no token is shorter than a byte
        return [((0, len(document.text)), document.content)]
    title, n_title = document.title, 0
    if title:
        spans = encoder.token_spans(title)[: room // _TITLE_SHARE]
        title, n_title = title[: spans[-1][1]] if spans else "", len(spans)
    tokens = encoder.token_spans(document.text)
    cuts = cut(document.text, tokens, room=room - n_title, overlap=overlap)
    if len(cuts) == 1 and len(encoder.token_spans(document.content)) <= room:
        return [(cuts[0], document.content)]
    return [((start, end), f"{title} {document.text[start:end]}".strip()) for start, end in cuts]


def cut(text: str, tokens: Sequence[Span], *, room: int, overlap: int = OVERLAP) -> list[Span]:
    """The text in pieces of at most ``room`` tokens, which together hold all of it.

    A piece ends where its last whole sentence does, if that is in its second half, else behind a
    word. The next one begins with the sentences among the last ``overlap`` tokens.

    Args:
        text: Any text.
        tokens: Where each of its tokens begins and ends.
        room: Tokens of a piece, >= 1.
        overlap: Tokens, >= 0, that two neighbours share at most.
    """
    if len(tokens) <= room:
        return [(0, len(text))]
    begins = [start for start, _ in tokens]
    sentences = sorted({bisect_left(begins, m.end()) for m in SENTENCE_END.finditer(text)})
    words = [i for i, ((_, end), (start, _)) in enumerate(pairwise(tokens), 1) if start > end]
    overlap = min(overlap, room // 2)
    pieces, first = [], 0
    while len(tokens) - first > room:
        stop, borders = _last_within(sentences, first + room // 2, first + room), sentences
        if stop is None:
            stop, borders = _last_within(words, first + room // 2, first + room), words
        if stop is None:
            stop, borders = first + room, []
        pieces.append((tokens[first][0], tokens[stop - 1][1]))
        again = bisect_left(borders, max(stop - overlap, first + 1))
        first = min(borders[again], stop) if again < len(borders) else stop
    pieces.append((tokens[first][0], len(text)))
    pieces[0] = (0, pieces[0][1])
    return pieces


def _last_within(borders: Sequence[int], low: int, high: int) -> int | None:
    """The last border in low+1..high."""
    at = bisect_right(borders, high) - 1
    return borders[at] if at >= 0 and borders[at] > low else None


def join(
    weights: TermWeights, spans: Sequence[Sequence[Span]]
) -> tuple[TermWeights, list[list[StoredPassage]]]:
    """Documents from their passages.

    Args:
        weights: (P, V) a row for each passage of each document, one document after another.
        spans: n lists of where each document's passages are.

    Returns:
        (n, V) each term's greatest weight in any passage of the document; and n lists of passages,
        empty where there is only one.
    """
    counts = [len(one) for one in spans]
    bounds = [0, *accumulate(counts)]
    stored = [
        [_stored(weights, row, span) for row, span in enumerate(one, bounds[i])]
        if len(one) > 1
        else []
        for i, one in enumerate(spans)
    ]
    if max(counts, default=1) == 1:
        return weights, stored
    document = np.repeat(np.repeat(np.arange(len(spans)), counts), np.diff(weights.indptr))
    order = np.lexsort((weights.indices, document))
    keys = np.stack((document, weights.indices))[:, order]
    firsts = np.flatnonzero(np.r_[True, (np.diff(keys) != 0).any(0)][: keys.shape[1]])
    greatest = np.maximum.reduceat(weights.data[order], firsts) if len(firsts) else weights.data
    rows, terms = keys[:, firsts]
    shape = (len(spans), weights.shape[1])
    return sp.coo_array((greatest, (rows, terms)), shape=shape).tocsr(), stored


def _stored(weights: TermWeights, row: int, span: Span) -> StoredPassage:
    part = slice(weights.indptr[row], weights.indptr[row + 1])
    return StoredPassage(
        *span, weights.indices[part].astype(np.uint32), weights.data[part].astype(np.float32)
    )
