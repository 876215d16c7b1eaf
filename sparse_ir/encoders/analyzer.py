"""Text to words: lower case, stop words out, Snowball stems. What the lexical block is made of."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import Stemmer
import stop_words

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError

TITLE_WEIGHT = "title_weight"  # setting of an index
DEFAULT_TITLE_WEIGHT = 2
_MOST_TITLE_WEIGHT = 100
_WORD = re.compile(r"\w\w+")
_ANY_WORD = re.compile(r"\w+")  # plain words keep what is one letter long

# Lucene's list, by which the field's BM25 numbers were made; longer ones take words of questions.
_ENGLISH_STOP_WORDS = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "but",
        "by",
        "for",
        "if",
        "in",
        "into",
        "is",
        "it",
        "no",
        "not",
        "of",
        "on",
        "or",
        "such",
        "that",
        "the",
        "their",
        "then",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "will",
        "with",
    ]
)


class Analyzer:
    """Turns text into the words that BM25 counts; safe to share between threads.

    Args:
        language: A Snowball language, in English (``languages`` lists them), or ``none`` for plain
            lower-cased words, each kept as it is.
        title_weight: How often BM25 counts a word of a document's title, 1..100.

    Raises:
        InvalidInputError: unknown language, or a title weight out of its range.
    """

    def __init__(self, language: str = "english", title_weight: int = DEFAULT_TITLE_WEIGHT) -> None:
        if language not in languages():
            raise InvalidInputError(
                f"language is {language!r}; want one of: {', '.join(languages())}"
            )
        if not isinstance(title_weight, int) or not 1 <= title_weight <= _MOST_TITLE_WEIGHT:
            raise InvalidInputError(
                f"title_weight is {title_weight!r}; want an integer, 1..{_MOST_TITLE_WEIGHT}"
            )
        self.language = language
        self.title_weight = title_weight
        self._stop_words = _stop_words(language)
        self._stemmers = threading.local()  # a Snowball stemmer keeps state while it works

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Analyzer:
        """The one that gives an index of text, which has these settings, its words."""
        return cls(settings["language"], settings.get(TITLE_WEIGHT, 1))  # older ones have none

    def words(self, text: str) -> list[str]:
        """The text's words in order, repeats included."""
        return self.stems(self.plain_words(text))

    def document_words(self, document: Document) -> list[str]:
        """As ``words`` of title and text, those of the title ``title_weight`` times.

        Source: Robertson, Zaragoza, Taylor 2004, "Simple BM25 Extension to Multiple Weighted
        Fields", section 4: fields' term frequencies are weighed and added, then saturated once.
        """
        again = (self.title_weight - 1) * self.words(document.title)
        return self.words(document.content) + again

    def plain_words(self, text: str) -> list[str]:
        """As ``words``, but not stemmed."""
        lowered = text.lower()
        if self.language == "none":
            return _ANY_WORD.findall(lowered)
        return [word for word in _WORD.findall(lowered) if word not in self._stop_words]

    def stems(self, plain_words: list[str]) -> list[str]:
        """What of each word is indexed."""
        if self.language == "none":
            return plain_words
        stems: list[str] = self._stemmer().stemWords(plain_words)
        return stems

    def word_spans(self, text: str) -> list[tuple[int, int, str]]:
        """(first character, behind the last one, word): as ``words``, and where in the text."""
        lowered = text.lower()
        pattern = _ANY_WORD if self.language == "none" else _WORD
        found = [match for match in pattern.finditer(lowered) if match[0] not in self._stop_words]
        words = self.stems([match[0] for match in found])
        at = _origins(text, lowered)
        return [(at[m.start()], at[m.end()], word) for m, word in zip(found, words, strict=True)]

    def _stemmer(self) -> Stemmer.Stemmer:
        if not hasattr(self._stemmers, "own"):
            self._stemmers.own = Stemmer.Stemmer(self.language)
        return self._stemmers.own


def _origins(text: str, lowered: str) -> Sequence[int]:
    """From which character of the text each of the lower-cased one came."""
    if len(text) == len(lowered):
        return range(len(text) + 1)
    longer = [i for i, character in enumerate(text) for _ in character.lower()]  # U+0130 gives two
    return [*longer, len(text)]


def languages() -> list[str]:
    """The languages an ``Analyzer`` knows, ``none`` first."""
    return ["none", *sorted(set(Stemmer.algorithms()) - {"porter", "lovins", "kraaij_pohlmann"})]


def _stop_words(language: str) -> frozenset[str]:
    if language == "english":
        return _ENGLISH_STOP_WORDS
    if language in stop_words.LANGUAGE_MAPPING.values():
        return frozenset(stop_words.get_stop_words(language))
    return frozenset()
