"""Queries that nobody asked: what a document's own text offers to be found by.

They have no judge, so the teachers label them; the document that they come from is their positive.

Source: crops as positive pairs: Izacard et al. 2022, "Contriever", arXiv:2112.09118, section 3.1;
neighbouring sentences: Wu et al. 2022, "Contrastive Context Prediction", arXiv:2206.03281.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.errors import InvalidInputError
from sparse_ir.sentences import CLAUSE_END
from sparse_ir.training.examples import TrainingSet

Generator = np.random.Generator
Maker = Callable[[Document, Generator], str]
KINDS = ("title", "sentence", "crop", "phrase", "keywords")
CONTEXT = "context"


def add_pseudo_queries(
    examples: TrainingSet,
    kinds: Sequence[str],
    *,
    per_document: int,
    seed: int = 0,
    language: str = "english",
    read: Callable[[Document], Document] = lambda document: document,
) -> None:
    """Each document has up to so many pseudo-queries more, of kinds drawn at random.

    Args:
        examples: Gets them.
        kinds: Of ``title``, ``sentence``, ``crop``, ``phrase``, ``keywords``; and ``context``, a
            title or sentence that is taken out of its document, so that only the rest can find it.
        per_document: At most, besides ``context``; a text too short for a kind gives none.
        seed: Of all draws.
        language: Whose stop words are no keywords.
        read: What is read of a document, which alone can be asked about.

    Raises:
        InvalidInputError: an unknown kind.
    """
    for kind in kinds:
        if kind not in (*KINDS, CONTEXT):
            raise InvalidInputError(
                f"pseudo-query {kind!r} came; want {', '.join(KINDS)}, {CONTEXT}"
            )
    makers = _makers(Analyzer(language))
    if CONTEXT in kinds:
        _add_contexts(examples, read, np.random.default_rng((seed, 1)))
    draw = np.random.default_rng(seed)
    inside = [kind for kind in kinds if kind != CONTEXT]
    for row, document in enumerate(examples.documents):
        if not inside:
            break
        known = read(document)
        made = {
            makers[str(kind)](known, draw)
            for kind in draw.choice(inside, per_document, replace=per_document > len(inside))
        }
        for query in sorted(made - {""}):
            examples.add_query(query, (row,))


def beginning(document: Document, tokenizer: Any, max_length: int) -> Document:
    """The document with as much of its text as a network of this tokenizer reads.

    Args:
        document: Title and text.
        tokenizer: A fast one of transformers.
        max_length: Tokens that are read, those that the tokenizer adds among them.
    """
    content = document.content
    if len(content.encode()) <= max_length - tokenizer.num_special_tokens_to_add():
        return document
    encoded = tokenizer(
        content, truncation=True, max_length=max_length, return_offsets_mapping=True, verbose=False
    )
    end = max(stop for _, stop in encoded["offset_mapping"])
    return replace(document, text=document.text[: max(0, end - content.rfind(document.text))])


def split_context(
    document: Document, draw: Generator, *, among: int | None = None, by_title: bool = True
) -> tuple[str, Document] | None:
    """A sentence or, as likely, the title, and the document without it; None if it has neither.

    Args:
        document: To be asked about; by a sentence if it has three.
        draw: Chooses.
        among: How many of the first sentences, at least 1; None for all.
        by_title: Whether it can be the title.
    """
    sentences = _sentences(document.text)
    by_sentence = len(sentences) >= 3
    by_title = by_title and bool(document.title.strip() and sentences)
    if by_title and (not by_sentence or draw.random() < 0.5):
        return document.title, replace(document, title="")
    if not by_sentence:
        return None
    taken = int(draw.integers(min(len(sentences), among or len(sentences))))
    rest = " ".join(s for i, s in enumerate(sentences) if i != taken)
    return sentences[taken], replace(document, text=rest)


def shared_titles(documents: Iterable[Document]) -> set[str]:
    """Titles of more than one document, which tell none of them apart."""
    counts = Counter(document.title for document in documents)
    return {title for title, n in counts.items() if n > 1}


def _add_contexts(
    examples: TrainingSet, read: Callable[[Document], Document], draw: Generator
) -> None:
    shared = shared_titles(examples.documents)
    for row, document in enumerate(examples.documents):
        n_read, by_title = len(_sentences(read(document).text)), document.title not in shared
        if n_read and (split := split_context(document, draw, among=n_read, by_title=by_title)):
            query, examples.documents[row] = split
            examples.add_query(query, (row,))


def _title(document: Document, draw: Generator) -> str:
    return document.title


def _sentence(document: Document, draw: Generator) -> str:
    fitting = [s for s in _sentences(document.text) if 4 <= len(s.split()) <= 40]
    return str(draw.choice(fitting)) if fitting else ""


def _crop(document: Document, draw: Generator) -> str:
    """5 to 50 % of the text, at most 60 words."""
    words = document.text.split()
    length = min(60, int(len(words) * draw.uniform(0.05, 0.5)))
    return _span(words, length, draw) if length >= 3 else ""


def _phrase(document: Document, draw: Generator) -> str:
    words = document.text.split()
    return _span(words, int(draw.integers(2, 8)), draw) if len(words) >= 8 else ""


def _keywords(analyzer: Analyzer, document: Document, draw: Generator) -> str:
    """2 to 6 words that are no stop words, in order, as people type into a search box."""
    words = [w for w in dict.fromkeys(re.findall(r"\w\w\w+", document.text)) if analyzer.words(w)]
    if len(words) < 6:
        return ""
    chosen = np.sort(draw.choice(len(words), int(draw.integers(2, 7)), replace=False))
    return " ".join(words[i] for i in chosen)


def _span(words: Sequence[str], length: int, draw: Generator) -> str:
    start = int(draw.integers(max(1, len(words) - length + 1)))
    return " ".join(words[start : start + length])


def _sentences(text: str) -> list[str]:
    return [sentence for sentence in CLAUSE_END.split(text) if sentence.strip()]


def _makers(analyzer: Analyzer) -> dict[str, Maker]:
    makers = (_title, _sentence, _crop, _phrase, partial(_keywords, analyzer))
    return dict(zip(KINDS, makers, strict=True))
