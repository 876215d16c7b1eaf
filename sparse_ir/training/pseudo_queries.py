"""Queries that nobody asked: what a document's own text offers to be found by.

They have no judge, so the teachers label them; the document that they come from is their positive.
Some leave it as it is. Others take its place with a part of it, so that query and document are two
parts of one text.

Source: a part and the rest: Lee, Chang, Toutanova 2019, the inverse cloze task, arXiv:1906.00300,
section 5; independent crops: Izacard et al. 2022, "Contriever", arXiv:2112.09118, section 3.1;
neighbouring sentences: Wu et al. 2022, "Contrastive Context Prediction", arXiv:2206.03281.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.errors import InvalidInputError
from sparse_ir.sentences import CLAUSE_END
from sparse_ir.training.examples import TrainingSet

Generator = np.random.Generator
Maker = Callable[[Document, Generator], str]
Kind = Literal["title", "sentence", "crop", "phrase", "keywords"]
Split = Literal["context", "crops", "neighbours"]
KINDS: tuple[str, ...] = get_args(Kind)
SPLITS: tuple[str, ...] = get_args(Split)
_WINDOW = 2  # sentences before and after one that are its neighbours
_LEAST_SENTENCES = 3  # of a text of which one is taken out
_LEAST_WORDS = 4  # of a sentence that asks, or answers


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
        kinds: Of ``title``, ``sentence``, ``crop``, ``phrase``, ``keywords``, which leave the
            document as it is; and of those that change it, one for each document: ``context``, a
            title or sentence that is taken out of it; and, where people ask for none, ``crops``, an
            excerpt, another one takes its place, and ``neighbours``, a sentence, one near it does.
        per_document: At most, besides those that change it; a text too short for a kind gives none.
        seed: Of all draws.
        language: Whose stop words are no keywords.
        read: What is read of a document, which alone can be asked about.

    Raises:
        InvalidInputError: an unknown kind, or one that would leave of a document that somebody asks
            for only a part.
    """
    for kind in kinds:
        if kind not in (*KINDS, *SPLITS):
            wanted = ", ".join((*KINDS, *SPLITS))
            raise InvalidInputError(f"pseudo-query {kind!r} came; want {wanted}")
        if kind in SPLITS[1:] and examples.n_labelled:
            raise InvalidInputError(
                f"{kind!r} would take the place of documents of {examples.name} that labelled "
                "queries ask for; want them of data without such: a BEIR folder, split = 'none'"
            )
    shared = shared_titles(examples.documents)
    makers = _makers(Analyzer(language))
    if splits := [kind for kind in kinds if kind in SPLITS]:
        _add_splits(examples, splits, read, np.random.default_rng((seed, 1)), shared)
    draw = np.random.default_rng(seed)
    inside = [kind for kind in kinds if kind in KINDS]
    for row, document in enumerate(examples.documents):
        if not inside:
            break
        known = read(document)
        if known.title in shared:
            known = replace(known, title="")
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
    return replace(document, text=document.text[: max(0, end - document.text_start)])


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
    by_sentence = len(sentences) >= _LEAST_SENTENCES
    untitled = without_title(document)
    by_title = by_title and bool(document.title.strip() and untitled.text)
    if by_title and (not by_sentence or draw.random() < 0.5):
        return document.title, untitled
    if not by_sentence:
        return None
    taken = int(draw.integers(min(len(sentences), among or len(sentences))))
    rest = " ".join(s for i, s in enumerate(sentences) if i != taken)
    return sentences[taken], replace(document, text=rest)


def without_title(document: Document) -> Document:
    """The document without its title, also at the beginning of its text."""
    title, text = document.title.strip(), document.text.strip()
    begins = title and text[: len(title)].casefold() == title.casefold()
    if begins and not text[len(title) : len(title) + 1].isalnum():
        text = text[len(title) :].lstrip(" .:\n")
    return replace(document, title="", text=text)


def shared_titles(documents: Iterable[Document]) -> set[str]:
    """Titles of more than one document, which tell none of them apart."""
    counts = Counter(document.title for document in documents)
    return {title for title, n in counts.items() if n > 1}


def two_crops(document: Document, draw: Generator) -> tuple[str, Document] | None:
    """Two crops, each drawn by itself, the second as a document; None if the text is too short."""
    asked, left = _crop(document, draw), _crop(document, draw)
    return (asked, replace(document, title="", text=left)) if asked and left else None


def neighbouring_sentences(document: Document, draw: Generator) -> tuple[str, Document] | None:
    """A sentence, and one of the two before or after it as a document; None if it is alone."""
    sentences = [s for s in _sentences(document.text) if len(s.split()) >= _LEAST_WORDS]
    if len(sentences) < 2:
        return None
    asked = int(draw.integers(len(sentences)))
    near = range(max(0, asked - _WINDOW), min(len(sentences), asked + _WINDOW + 1))
    left = int(draw.choice([row for row in near if row != asked]))
    return sentences[asked], replace(document, title="", text=sentences[left])


def _add_splits(
    examples: TrainingSet,
    kinds: Sequence[str],
    read: Callable[[Document], Document],
    draw: Generator,
    shared: Container[str],
) -> None:
    for row, document in enumerate(examples.documents):
        known, by_title = read(document), document.title not in shared
        split = None
        match kinds[0] if len(kinds) == 1 else str(draw.choice(kinds)):
            case "crops":
                split = two_crops(known, draw)
            case "neighbours":
                split = neighbouring_sentences(known, draw)
            case "context" if n_read := len(_sentences(known.text)):
                # The only part of a short document is its title, which stays in half of them.
                by_title = by_title and (n_read >= _LEAST_SENTENCES or draw.random() < 0.5)
                split = split_context(document, draw, among=n_read, by_title=by_title)
        if split:
            query, examples.documents[row] = split
            examples.add_query(query, (row,))


def _title(document: Document, draw: Generator) -> str:
    return document.title


def _sentence(document: Document, draw: Generator) -> str:
    fitting = [s for s in _sentences(document.text) if _LEAST_WORDS <= len(s.split()) <= 40]
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
