"""TextReader against transformers' own tokenizer."""

from __future__ import annotations

import pytest
import tokenizers

from sparse_ir.encoders.text_reader import TextReader
from sparse_ir.errors import InvalidInputError

TEXTS = ["the red fox runs over water", "", "dogs", "night [SEP] day and night"]


def cased_tokenizer(make_tokenizer):
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.normalizer = tokenizers.normalizers.NFC()
    return tokenizer


@pytest.mark.parametrize("side", ["left", "right"])
def test_reads_what_the_library_reads(make_tokenizer, side):
    library = make_tokenizer()
    library.truncation_side = side
    reader = TextReader(
        library.backend_tokenizer, 6, prompt="quick puppy ", cut_side=library.truncation_side
    )
    prompted = [f"quick puppy {text}" for text in TEXTS]
    expected = library(prompted, truncation=True, max_length=6)["input_ids"]
    assert reader.read(TEXTS) == expected
    assert reader.read([]) == []
    assert reader.n_cut == 2
    assert reader.room == 2


def test_the_given_tokenizer_neither_changes_nor_matters(make_tokenizer):
    given = make_tokenizer().backend_tokenizer
    given.enable_truncation(3)
    given.enable_padding(length=9)
    before = given.to_str()
    reader = TextReader(given, 5)
    assert reader.token_spans("the red fox runs") == [(0, 3), (4, 7), (8, 11), (12, 16)]
    assert [len(one) for one in reader.read(["the red fox runs", "fox"])] == [5, 3]
    assert given.to_str() == before


def test_spans_are_of_the_text_before_it_was_lower_cased(make_tokenizer):
    """A dotted capital I is two characters once it is lower-cased."""
    tokenizer = cased_tokenizer(make_tokenizer)
    numbers = tokenizer.convert_tokens_to_ids(["[UNK]", "fox", "red"])
    reader = TextReader(tokenizer.backend_tokenizer, 16, prompt="DAY ", lower_case=True)
    spans = [(0, 2), (3, 6), (7, 10)]
    assert reader.token_spans("İİ Fox RED") == spans
    assert reader.own_terms("İİ Fox RED") == set(numbers)
    assert reader.term_spans("İİ Fox RED") == [
        (*span, number) for span, number in zip(spans, numbers, strict=True)
    ]
    ids, found = reader.read_with_spans("İİ Fox RED")
    assert ids == tokenizer("day xx fox red")["input_ids"]
    assert found[2:5] == spans


def test_a_prompt_that_leaves_no_room_is_refused(make_tokenizer):
    tokenizer = make_tokenizer().backend_tokenizer
    assert TextReader(tokenizer, 5, prompt="quick puppy ").room == 1
    with pytest.raises(InvalidInputError, match="max_length is 4, and special tokens and the"):
        TextReader(tokenizer, 4, prompt="quick puppy ")


def test_a_string_is_no_list_of_texts(make_tokenizer):
    with pytest.raises(InvalidInputError, match="the string 'fox' came as texts; want a list"):
        TextReader(make_tokenizer().backend_tokenizer, 8).read("fox")
