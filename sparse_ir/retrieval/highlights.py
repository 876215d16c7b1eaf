"""Where a document says what the query found it by, and the part of it that says most of that.

A word matches where it stands. An expansion stands nowhere; but the network pooled it from one
token, and a document encoder that can tell which (a ``Tracer``) shows where it was read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol, TypeGuard

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.encoders.lookup import TermSpan
from sparse_ir.sentences import SENTENCE_END
from sparse_ir.vocabulary import Vocabulary

Field = Literal["title", "text"]
Span = tuple[int, int]
Sources = Mapping[str, tuple[Field, Span]]
"""learned term -> where the document's network read it."""

_Term = tuple[str, str]  # block, name
_Mark = tuple[int, int, _Term, bool]  # start, end, term, whether it is an expansion

_LONGEST_WORD = 40  # characters; a longer stretch without spaces is text of a script without them
_LEAD = 6  # before a snippet's first match stands a sixth of it at most
_SPACE = re.compile(r"\s+")


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
class Highlight:
    """A stretch of a document that matches.

    Args:
        field: Which of its texts.
        start: First character there.
        end: Behind the last character.
        terms: What matches here.
        product: What these terms add to the document's score, wherever they stand.
        is_expansion: Whether the text does not say these terms, but they were read from here.
    """

    field: Field
    start: int
    end: int
    terms: tuple[str, ...]
    product: float
    is_expansion: bool


@dataclass(frozen=True, slots=True)
class Snippet:
    """The part of a document's text that says most of what matches.

    Args:
        text: The part.
        start: Its first character in the document's text.
        highlights: What matches in the part, at positions in the part.
    """

    text: str
    start: int
    highlights: tuple[Highlight, ...]


class SpanEncoder(Protocol):
    """An encoder that knows where in a text its terms are."""

    vocabulary: Vocabulary

    def term_spans(self, text: str) -> list[TermSpan]:
        """Which terms the text contains, and the words that they are parts of."""
        ...


class Tracer(Protocol):
    """A document encoder that knows from where in a text it read a term."""

    def sources(self, text: str, terms: Sequence[int]) -> dict[int, Span]:
        """Term -> where it was read."""
        ...


def is_tracer(encoder: object) -> TypeGuard[Tracer]:
    """Whether the encoder can tell from where it read a term."""
    return hasattr(encoder, "sources")


def find_highlights(
    document: Document,
    matches: Iterable[TermMatch],
    analyzer: Analyzer,
    encoder: object,
    *,
    within: Span | None = None,
    sources: Sources | None = None,
) -> list[Highlight]:
    """What matches in the title, then in the text, in its order; no two overlap.

    Args:
        document: With its text.
        matches: The terms by which it was found.
        analyzer: Of the words.
        encoder: Of the learned terms; they are not shown if it is no ``SpanEncoder``.
        within: The part of the text to look at; None is all of it.
        sources: Where expansions were read.
    """
    products: dict[_Term, float] = {(m.block, m.term): m.product for m in matches}
    start, end = within or (0, len(document.text))
    marks = {
        "title": _marks(document.title, 0, products, analyzer, encoder),
        "text": _marks(document.text[start:end], start, products, analyzer, encoder),
    }
    for term, (field, span) in (sources or {}).items():
        marks[field].append((*span, ("learned", term), True))
    return [
        highlight
        for field, found in marks.items()
        for highlight in _merged(field, found, products)  # type: ignore[arg-type]
    ]


def cut_snippet(
    text: str, highlights: Iterable[Highlight], *, length: int, within: Span | None = None
) -> Snippet:
    """The stretch of up to ``length`` characters whose highlights add most, each term once.

    Args:
        text: A document's text.
        highlights: As ``find_highlights`` gives them; those of the title do not count.
        length: Characters, >= 1.
        within: The part to stay in; None is all of it.
    """
    low, high = within or (0, len(text))
    inside = [h for h in highlights if h.field == "text" and low <= h.start and h.end <= high]
    room = length - length // _LEAD
    first = _best_start(inside, room)
    start = low if first is None else _begin(text, low, first.start, length // _LEAD)
    stop = _end(text, start, min(start + length, high), high)
    shown = [
        replace(h, start=h.start - start, end=h.end - start)
        for h in inside
        if start <= h.start and h.end <= stop
    ]
    return Snippet(text[start:stop], start, tuple(shown))


# highlights


def _marks(
    text: str,
    shift: int,
    products: Mapping[_Term, float],
    analyzer: Analyzer,
    encoder: object,
) -> list[_Mark]:
    """A mark for each match in a text that begins at ``shift``."""
    spans: list[tuple[int, int, _Term]] = []
    if any(block == "lexical" for block, _ in products):
        words = analyzer.word_spans(text)
        spans += [(start, end, ("lexical", word)) for start, end, word in words]
    if _knows_spans(encoder) and any(block == "learned" for block, _ in products):
        names = encoder.vocabulary
        terms = encoder.term_spans(text)
        spans += [(start, end, ("learned", names[term])) for start, end, term in terms]
    return [
        (start + shift, end + shift, term, False)
        for start, end, term in spans
        if term in products and start < end
    ]


def _knows_spans(encoder: object) -> TypeGuard[SpanEncoder]:
    return hasattr(encoder, "term_spans")


def _merged(
    field: Field, marks: Iterable[_Mark], products: Mapping[_Term, float]
) -> Iterator[Highlight]:
    """Marks that overlap as one highlight, which is an expansion if all of them are."""
    group: list[_Mark] = []
    for mark in sorted(marks):
        if group and mark[0] >= max(end for _, end, _, _ in group):
            yield _highlight(field, group, products)
            group = []
        group.append(mark)
    if group:
        yield _highlight(field, group, products)


def _highlight(field: Field, group: Sequence[_Mark], products: Mapping[_Term, float]) -> Highlight:
    terms = dict.fromkeys(term for _, _, term, _ in group)
    return Highlight(
        field,
        start=group[0][0],
        end=max(end for _, end, _, _ in group),
        terms=tuple(dict.fromkeys(name for _, name in terms)),
        product=sum(products[term] for term in terms),
        is_expansion=all(is_expansion for _, _, _, is_expansion in group),
    )


# snippets


def _best_start(highlights: Sequence[Highlight], room: int) -> Highlight | None:
    """From which on those in ``room`` characters add most; the first of equals.

    The stretch slides along, so that each highlight comes into it and leaves it once. Of those
    with the same terms the last counts, which leaves last.
    """
    best, most, behind = None, -math.inf, 0
    inside: dict[tuple[str, ...], Highlight] = {}
    for i, first in enumerate(highlights):
        behind = max(behind, i)
        while behind < len(highlights) and highlights[behind].end <= first.start + room:
            inside[highlights[behind].terms] = highlights[behind]
            behind += 1
        worth = math.fsum(h.product for h in inside.values())
        if worth > most:
            best, most = first, worth
        if inside.get(first.terms) is first:
            del inside[first.terms]
    return best


def _begin(text: str, low: int, first: int, lead: int) -> int:
    """Where the first match's sentence begins, else a word not further than ``lead`` before it."""
    if first - low <= lead:
        return low
    before = text[first - lead : first]
    sentences = list(SENTENCE_END.finditer(before))
    if sentences:
        return first - lead + sentences[-1].end()
    space = _SPACE.search(before)
    return first - lead + space.end() if space else first


def _end(text: str, start: int, stop: int, high: int) -> int:
    """Behind the last whole word; not all scripts have spaces between them."""
    if stop >= high or text[stop].isspace():
        return stop
    spaces = list(_SPACE.finditer(text, max(start + 1, stop - _LONGEST_WORD), stop))
    return spaces[-1].start() if spaces else stop
