"""Questions with a known answer that nobody had to ask: a part is taken out of its document.

What is left of the document must be found by the part; that tells two models apart on any corpus,
though both are strangers to its real questions.

Source: the inverse cloze task of Lee, Chang, Toutanova 2019, arXiv:1906.00300, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.pseudo_queries import Generator, shared_titles, split_context
from sparse_ir.training.validation import DevSet

MOST_SEARCHED = 1200  # documents, among which the answers are
_LEAST_QUESTIONS = 8
_LEAST_WORDS = 9  # of a text of which a third is taken out


def held_out(
    documents: Sequence[Document],
    *,
    n_questions: int = 200,
    max_documents: int = MOST_SEARCHED,
    origins: Sequence[int] | None = None,
    seed: int,
) -> tuple[DevSet, list[Document]]:
    """(questions about some of the documents, the documents about which nothing is asked).

    Args:
        documents: Of the corpus, or pieces of them.
        n_questions: At most, and of at most a quarter of the documents.
        max_documents: That are searched: those asked about and others.
        origins: Of each piece, the number of its document; of that one piece is asked about at
            most, and then no other is among those about which nothing is. None: all are whole.
        seed: Of all draws.

    Raises:
        InvalidInputError: the documents are too few or too short.
    """
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(documents)).tolist()
    origins = range(len(documents)) if origins is None else origins
    wanted = min(n_questions, len({*origins}) // 4)
    shared = shared_titles(documents)
    asked: set[int] = set()
    queries: dict[str, str] = {}
    left: dict[int, Document] = {}
    for row in order:
        if len(left) == wanted:
            break
        by_title = documents[row].title not in shared
        if origins[row] in asked:
            continue
        if split := split_document(documents[row], draw, by_title=by_title):
            queries[f"q{row}"], left[row] = split
            asked.add(origins[row])
    if len(left) < _LEAST_QUESTIONS:
        raise InvalidInputError(
            f"{len(left)} of {len(documents)} documents can be asked about; want at least "
            f"{_LEAST_QUESTIONS}, with a title, three sentences or {_LEAST_WORDS} words"
        )
    others = [row for row in order if row not in left]
    searched = [*left.values(), *(documents[row] for row in others[: max_documents - len(left)])]
    qrels = {f"q{row}": {document.doc_id: 1} for row, document in left.items()}
    dev = DevSet("held out", searched, queries, qrels)
    return dev, [one for one, origin in zip(documents, origins, strict=True) if origin not in asked]


def split_document(
    document: Document, draw: Generator, *, by_title: bool = True
) -> tuple[str, Document] | None:
    """(a part, the rest): as ``split_context``, or a third of the words; None if too short."""
    if split := split_context(document, draw, by_title=by_title):
        return split
    words = document.text.split()
    if len(words) < _LEAST_WORDS:
        return None
    third = len(words) // 3
    start = int(draw.integers(len(words) - third + 1))
    rest = " ".join(words[:start] + words[start + third :])
    return " ".join(words[start : start + third]), replace(document, text=rest)
