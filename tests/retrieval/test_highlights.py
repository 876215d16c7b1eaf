"""Highlights against spans counted by hand; snippets against every window there is."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer
from sparse_ir.errors import InvalidInputError
from sparse_ir.retrieval.highlights import Highlight, _best_start, cut_snippet
from sparse_ir.retrieval.ingest import ingest
from sparse_ir.retrieval.retriever import SparseRetriever

DOCUMENTS = [
    Document("a", "The red fox runs.  Foxes are fast; a fox is QUICK.", title="Fox, red"),
    Document("b", "dog sleeps"),
    Document("c", "nothing of that kind"),
]


@pytest.fixture
def retriever(tmp_path, document_encoder):
    ingest(tmp_path, DOCUMENTS, model="words")
    with SparseRetriever.open(tmp_path) as opened:
        yield opened


def said(document, highlight):
    return getattr(document, highlight.field)[highlight.start : highlight.end]


def test_words_are_marked_where_they_stand(retriever):
    found = retriever.highlights("foxes quick", "a")
    assert [(h.field, said(DOCUMENTS[0], h)) for h in found] == [
        ("title", "Fox"),
        ("text", "fox"),
        ("text", "Foxes"),
        ("text", "fox"),
        ("text", "QUICK"),
    ]
    # "foxes" is no term of the model of ten words, but the stem is that of "fox"
    by_word = {match.term: match.product for match in retriever.explain("foxes quick", "a")}
    assert found[0].terms == ("fox",)
    assert found[0].product == pytest.approx(by_word["fox"])
    assert not any(h.is_expansion for h in found)


def test_both_blocks_make_one_mark(retriever):
    fox = next(h for h in retriever.highlights("fox", "a") if said(DOCUMENTS[0], h) == "fox")
    products = [match.product for match in retriever.explain("fox", "a")]
    assert len(products) == 2
    assert fox.product == pytest.approx(sum(products))
    assert fox.terms == ("fox",)


def test_modes_mark_their_own_terms(retriever):
    assert [said(DOCUMENTS[0], h) for h in retriever.highlights("foxes", "a", "learned")] == []
    assert len(retriever.highlights("foxes", "a", "lexical")) == 4


def test_expansions_are_marked_where_they_were_read(retriever):
    class Tracer:
        def sources(self, text, terms):
            self.asked = (text, terms)
            return {term: (text.index("dog"), text.index("dog") + 3) for term in terms}

    assert retriever.highlights("puppy", "b") == []
    tracer = Tracer()
    (found,) = retriever.highlights("puppy", "b", tracer=tracer)
    assert tracer.asked[0] == "dog sleeps"
    assert [retriever.vocabulary[term] for term in tracer.asked[1]] == ["puppy"]
    assert (found.start, found.end, found.terms, found.is_expansion) == (0, 3, ("puppy",), True)


def test_sources_in_a_title(retriever):
    class First:
        def sources(self, text, terms):
            return dict.fromkeys(terms, (0, 3))

    found = retriever.highlights("animal", "a", tracer=First())
    assert [(h.field, h.start, h.end, h.is_expansion) for h in found] == [("title", 0, 3, True)]


@pytest.mark.parametrize("title_weight", [1, 2])
def test_what_only_the_title_by_itself_brought_is_marked_there(
    tmp_path, document_encoder, title_weight
):
    class OfTitlesAlone:
        def sources(self, text, terms):
            return dict.fromkeys(terms, (0, 3)) if text == "Fox, red" else {}

    ingest(tmp_path, DOCUMENTS, model="words", title_weight=title_weight)
    with SparseRetriever.open(tmp_path) as retriever:
        found = retriever.highlights("animal", "a", tracer=OfTitlesAlone())
    where = [(h.field, h.start, h.end, h.is_expansion) for h in found]
    assert where == ([("title", 0, 3, True)] if title_weight > 1 else [])


def test_snippet_of_a_hit(retriever):
    (hit,) = retriever.search("quick fox", k=1)
    snippet = retriever.snippet("quick fox", hit, length=24)
    assert len(snippet.text) <= 24
    assert hit.text[snippet.start :].startswith(snippet.text)
    assert {snippet.text[h.start : h.end].lower() for h in snippet.highlights} == {"fox", "quick"}
    (nothing,) = retriever.search("of that", k=1, mode="lexical") or [None]
    assert nothing is None or nothing.text.startswith(retriever.snippet("x", nothing).text)
    with pytest.raises(InvalidInputError, match="length is 0"):
        retriever.snippet("fox", hit, length=0)


WORDS = st.lists(st.sampled_from(["aa", "bbb", "cccc", "fox.", "dog"]), min_size=1, max_size=40)


@given(WORDS, st.integers(8, 60))
def test_a_snippet_is_whole_words_and_holds_the_best_match(words, length):
    text = " ".join(words)
    highlights = [
        Highlight("text", m.start(), m.end(), (m[0],), 5.0 if m[0] == "dog" else 1.0, False)
        for m in re.finditer("fox|dog", text)
    ]
    snippet = cut_snippet(text, highlights, length=length)
    assert len(snippet.text) <= length
    assert text[snippet.start : snippet.start + len(snippet.text)] == snippet.text
    assert all(word in words for word in snippet.text.split())
    shown = {h.terms: h.product for h in snippet.highlights}
    assert [snippet.text[h.start : h.end] for h in snippet.highlights] == [
        h.terms[0] for h in snippet.highlights
    ]
    if "dog" in words:
        assert ("dog",) in shown


def test_text_without_spaces_is_cut_where_the_room_ends():
    text = "第一章 " + "中" * 300
    at = Highlight("text", 10, 11, ("中",), 1.0, False)
    snippet = cut_snippet(text, [at], length=60)
    assert snippet.text == text[:60]
    assert [(h.start, h.end) for h in snippet.highlights] == [(10, 11)]
    assert cut_snippet(" " * 90, [], length=60).text.strip() == ""


@st.composite
def highlights_of(draw):
    """Some of one document: sorted, without overlap; the same terms may add more or less."""
    products = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7])
    end, found = 0, []
    for gap, size in draw(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 30)))):
        terms = tuple(draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=2, unique=True)))
        found.append(Highlight("text", end + gap, end + gap + size, terms, draw(products), False))
        end += gap + size
    return found


@given(highlights_of(), st.integers(1, 80))
def test_the_best_start_is_that_of_all_stretches_summed_one_by_one(highlights, room):
    def worth(start):
        inside = [h for h in highlights if start <= h.start and h.end <= start + room]
        return math.fsum({h.terms: h.product for h in inside}.values())

    wanted = max(highlights, key=lambda h: (worth(h.start), -h.start), default=None)
    assert _best_start(highlights, room) is wanted


@given(st.text())
def test_word_spans_are_where_the_words_are(text):
    for language in ("english", "none"):
        analyzer = Analyzer(language)
        spans = analyzer.word_spans(text)
        assert [word for *_, word in spans] == analyzer.words(text)
        for start, end, word in spans:
            part = text[start:end].lower()
            assert part == word if language == "none" else part[:1] == word[:1]


def test_lower_case_may_be_longer():
    text = "İİ fox"  # each of the first two letters becomes two
    (start, end, word) = Analyzer("english").word_spans(text)[-1]
    assert (text[start:end], word) == ("fox", "fox")


def test_a_snippet_of_chinese_begins_with_a_sentence():
    text = "这里没有什么可看的东西。" * 9 + "狐狸跑得很快。" + "狗在睡觉。" * 9
    at = text.index("快")
    snippet = cut_snippet(text, [Highlight("text", at, at + 1, ("快",), 1.0, False)], length=60)
    assert snippet.text.startswith("狐狸跑得很快。")
