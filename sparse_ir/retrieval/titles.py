"""Titles: what a document is about, in a few words, which are read a second time by themselves.

Among two hundred other words those of the title drown; read alone they get the weights of a short
text, and expansions of their own. So each learned weight becomes the greater of the document's and
its title's, and a tenth of the title's more. (BM25 counts the words of a title twice:
``Analyzer.document_words``.)

Source: our own, after the weighted fields of BM25F, which are one document too. What it gains, on
the dev splits by which both constants were chosen too: ``bench/titles.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from sparse_ir.corpus import Document
from sparse_ir.encoders.encoder import Encoder
from sparse_ir.retrieval.passages import has_limit
from sparse_ir.vectors import TermWeights

_ON_TOP = 0.1  # of the title's weights


def add_titles(
    weights: TermWeights,
    documents: Sequence[Document],
    counts: Sequence[int],
    encoder: Encoder,
    batch_size: int = 32,
) -> TermWeights:
    """Weights of passages, with what the titles of their documents add.

    A document whose title is all of its text stays as it is, and one without a title.

    Args:
        weights: (P, V) a row for each passage of each document, one document after another.
        documents: n of them.
        counts: n numbers of passages.
        encoder: Of documents.
        batch_size: Titles encoded at once.
    """
    titles = [_read(one.title.strip(), encoder) if one.text.strip() else "" for one in documents]
    known = [*dict.fromkeys(filter(None, titles))]  # sections of a book share theirs
    if not known:
        return weights
    encoded = encoder.encode(known, batch_size=batch_size)
    empty = sp.csr_array((1, weights.shape[1]), dtype=np.float32)
    row_of = {title: row for row, title in enumerate([*known, ""])}
    rows = np.repeat([row_of[title] for title in titles], counts)
    own = sp.vstack([encoded, empty], format="csr")[rows]
    return sp.csr_array(weights.maximum(own) + np.float32(_ON_TOP) * own)


def _read(title: str, encoder: Encoder) -> str:
    """As much of it as the encoder reads, which then counts no text of which it read a part."""
    if not has_limit(encoder) or len(title.encode()) <= encoder.room:
        return title
    spans = encoder.token_spans(title)[: encoder.room]
    return title[: spans[-1][1]] if spans else ""
