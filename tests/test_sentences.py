"""Where sentences end, by hand."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparse_ir.sentences import CLAUSE_END, SENTENCE_END


@pytest.mark.parametrize(
    ("text", "begins"),
    [
        ("One. Two!  Three? Four", ["Two", "Three", "Four"]),
        ('He said "go." Then he went.', ["Then"]),
        ("A heading\n  The text", ["The text"]),
        ("Version 3.2 of e.g.this; that", []),
        ("狐狸跑了。狗睡了！猫呢？", ["狗", "猫", ""]),
    ],
)
def test_a_sentence_begins_where_a_match_ends(text, begins):
    found = [text[match.end() :] for match in SENTENCE_END.finditer(text)]
    assert len(found) == len(begins)
    assert all(rest.startswith(begin) for rest, begin in zip(found, begins, strict=True))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("One; two. Three\nand four! ", ["One;", "two.", "Three\nand four!", ""]),
        (
            "狐狸跑了；狗睡了。猫呢？！ 「来。」好。",
            ["狐狸跑了；", "狗睡了。", "猫呢？！", "「来。」好。"],
        ),
    ],
)
def test_a_text_is_split_in_what_stands_for_queries(text, parts):
    assert CLAUSE_END.split(text) == parts


@given(st.text("aB .!?;\n,'\"…é"))
def test_in_latin_writing_it_is_split_behind_marks_and_a_space(text):
    assert CLAUSE_END.split(text) == re.split(r"(?<=[.!?;])\s+", text)
