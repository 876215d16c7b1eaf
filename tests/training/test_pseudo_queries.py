from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import transformers
from tiny_model import make_tiny_model

from sparse_ir.corpus import Document
from sparse_ir.errors import InvalidInputError
from sparse_ir.training.examples import TrainingSet
from sparse_ir.training.pseudo_queries import (
    KINDS,
    SPLITS,
    add_pseudo_queries,
    beginning,
    split_context,
)

TEXT = (
    "The fox ran over the hill to the river. There it met a dog that slept in the warm sun. "
    "They talked about the weather for a long while! Then both of them went home again."
)
DOCUMENT = Document("d", TEXT, "A fox and a dog")


def queries_of(kind, documents, **options):
    examples = TrainingSet("s", list(documents))
    add_pseudo_queries(examples, [kind], per_document=1, **options)
    return examples.queries


@pytest.mark.parametrize("kind", KINDS)
def test_queries_are_made_of_the_documents_own_words(kind):
    made = [query for seed in range(20) for query in queries_of(kind, [DOCUMENT], seed=seed)]
    assert made
    own = {word.strip(".!") for word in DOCUMENT.content.split()}
    assert {word.strip(".!") for query in made for word in query.split()} <= own


def test_a_crop_is_between_a_twentieth_and_half():
    sizes = [len(query.split()) for query in queries_of("crop", [DOCUMENT] * 50)]
    assert max(sizes) <= len(TEXT.split()) / 2
    assert min(sizes) >= 3


def test_each_query_belongs_to_its_document_and_is_not_labelled():
    examples = TrainingSet("s", [DOCUMENT, Document("e", "short")])
    add_pseudo_queries(examples, ["sentence", "title"], per_document=2)
    assert examples.n_labelled == 0
    assert examples.positives == [(0,)] * len(examples.queries)
    assert "A fox and a dog" in examples.queries
    again = TrainingSet("s", [DOCUMENT, Document("e", "short")])
    add_pseudo_queries(again, ["sentence", "title"], per_document=2)
    assert again.queries == examples.queries


def test_context_prediction_takes_a_sentence_or_the_title_out():
    splits = [split_context(DOCUMENT, np.random.default_rng(seed)) for seed in range(20)]
    for part, rest in splits:
        assert part in DOCUMENT.content
        assert part not in rest.content
        assert sorted(f"{part} {rest.content}".split()) == sorted(DOCUMENT.content.split())
    assert {part == DOCUMENT.title for part, _ in splits} == {True, False}
    draw = np.random.default_rng(0)
    asked = [split_context(DOCUMENT, draw, by_title=False)[0] for _ in range(20)]
    assert DOCUMENT.title not in asked
    assert split_context(Document("e", "One. Two."), draw) is None
    assert split_context(Document("e", "One. Two.", "Few"), draw)[0] == "Few"


def test_context_queries_leave_their_document():
    examples = TrainingSet("s", [DOCUMENT, Document("e", "One. Two.")])
    add_pseudo_queries(examples, ["context", "title"], per_document=1)
    part, left = examples.queries[0], examples.documents[0]
    assert examples.positives[0] == (0,)
    assert sorted(f"{left.content} {part}".split()) == sorted(DOCUMENT.content.split())
    assert left.doc_id == "d"
    assert examples.documents[1].text == "One. Two."


def split_by(kind, documents):
    examples = TrainingSet("s", list(documents))
    add_pseudo_queries(examples, [kind], per_document=1)
    assert examples.positives == [(row,) for row in range(len(documents))]
    return zip(examples.queries, examples.documents, strict=True)


def test_crops_are_drawn_independently():
    """Two spans of a text, which may overlap or not; each is between a twentieth and half of it."""
    words, overlaps = [f"w{i}" for i in range(60)], set()
    for query, left in split_by("crops", [Document("d", " ".join(words), "Title")] * 60):
        assert (left.doc_id, left.title) == ("d", "")
        spans = query.split(), left.text.split()
        for span in spans:
            start = words.index(span[0])
            assert span == words[start : start + len(span)]
            assert 3 <= len(span) <= 30
        overlaps.add(bool({*spans[0]} & {*spans[1]}))
    assert overlaps == {True, False}


def test_neighbours_are_sentences_at_most_two_apart():
    sentences = [f"Here is sentence number {i} of ten." for i in range(10)]
    apart = set()
    for query, left in split_by("neighbours", [Document("d", " ".join(sentences), "Ten")] * 80):
        apart.add(sentences.index(left.text) - sentences.index(query))
        assert left.title == ""
    assert apart == {-2, -1, 1, 2}


def test_a_text_too_short_for_two_parts_stays_as_it_is():
    for kind in ("crops", "neighbours"):
        examples = TrainingSet("s", [Document("e", "One sentence.", "Title")])
        add_pseudo_queries(examples, [kind], per_document=1)
        assert not examples.queries
        assert examples.documents == [Document("e", "One sentence.", "Title")]


@pytest.mark.parametrize("kind", ["crops", "neighbours"])
def test_a_document_that_people_ask_for_is_not_cut_to_a_part(kind):
    examples = TrainingSet("asked", [DOCUMENT])
    examples.add_query("foxes", (0,))
    examples.n_labelled = 1
    with pytest.raises(InvalidInputError, match=f"'{kind}' would take the place .* of asked that"):
        add_pseudo_queries(examples, ["title", kind], per_document=1)
    assert examples.documents == [DOCUMENT]


def test_of_kinds_that_change_a_document_each_has_one():
    text = f"{TEXT} {TEXT.replace('fox', 'cat')}"
    examples = TrainingSet("s", [Document(str(i), text, f"Title {i}") for i in range(60)])
    add_pseudo_queries(examples, SPLITS, per_document=1)
    assert examples.positives == [(row,) for row in range(60)]
    whole = sum(len(d.content.split()) > len(text.split()) / 2 for d in examples.documents)
    assert 10 < whole < 40  # those of "context"; the others are short


def test_a_title_at_the_beginning_of_the_text_is_taken_out_there_too():
    """Else the query would be found by its words."""
    text = f"The FIRST law. {TEXT}"
    asked = [
        split_context(Document("d", text, "The first law"), np.random.default_rng(seed))
        for seed in range(20)
    ]
    by_title = [left for query, left in asked if query == "The first law"]
    assert by_title
    assert all(left.content == TEXT for left in by_title)
    draw = np.random.default_rng(0)
    assert split_context(Document("d", "Title", "Title"), draw) is None
    longer = split_context(Document("d", "Carbon is an element.", "Car"), draw)
    assert longer == ("Car", Document("d", "Carbon is an element."))


def test_short_documents_keep_their_titles_half_of_the_time():
    """They are searched with them."""
    documents = [Document(str(i), f"text of {i}", f"Title {i}") for i in range(60)]
    examples = TrainingSet("s", list(documents))
    add_pseudo_queries(examples, ["context"], per_document=1)
    kept = sum(bool(document.title) for document in examples.documents)
    assert 20 < kept < 40
    assert len(examples.queries) == 60 - kept


def test_a_title_that_others_share_is_not_asked_for():
    documents = [replace(DOCUMENT, doc_id=str(i)) for i in range(20)]
    asked = queries_of("context", documents)
    assert len(asked) == 20
    assert DOCUMENT.title not in asked
    assert DOCUMENT.title not in queries_of("title", documents)


@pytest.mark.parametrize("kind", [*KINDS, *SPLITS])
def test_nothing_is_asked_about_what_is_not_read(kind):
    def read(document):
        return replace(document, text=". ".join(document.text.split(". ")[:2]) + ".")

    texts = [f"{TEXT} Number {i} is never read, nor is this." for i in range(50)]
    titled = [Document(str(i), text, f"title{i * ' fox'}") for i, text in enumerate(texts)]
    made = queries_of(kind, titled, read=read)
    known = {word.strip(".") for word in ("title " + TEXT.split("They", maxsplit=1)[0]).split()}
    assert made
    assert {word.strip(".") for query in made for word in query.split()} <= known


def test_stop_words_of_the_language_are_no_keywords():
    text = "der fuchs und der hund und die katze liegen unter einem alten baum im garten"
    (query,) = queries_of("keywords", [Document("d", text)], language="german")
    assert not {"der", "und", "die", "unter", "einem"} & set(query.split())


def test_the_beginning_is_what_a_network_reads(tmp_path):
    make_tiny_model(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "body")
    text = "red fox runs fast over the water at night"
    read = beginning(Document("d", text, "dog"), tokenizer, 6)  # two are the tokenizer's own
    assert (read.title, read.text) == ("dog", "red fox runs")
    assert beginning(Document("d", "red fox", "dog"), tokenizer, 6).text == "red fox"
    spaced = Document("d", f" {text}\n", "dog")
    assert beginning(spaced, tokenizer, 6).text == " red fox runs"
    assert beginning(replace(spaced, title=""), tokenizer, 5).text == " red fox runs"
    assert beginning(Document("d", text, "dog runs fast over water"), tokenizer, 6).text == ""


def test_unknown_kinds_are_refused():
    with pytest.raises(InvalidInputError, match="'poem' came"):
        add_pseudo_queries(TrainingSet("s", [DOCUMENT]), ["poem"], per_document=1)
