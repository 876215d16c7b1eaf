"""Topics in TREC's markup, old and new, and in every other form that queries come in."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from sparse_ir.corpus import Query
from sparse_ir.errors import DataFormatError
from sparse_ir.evaluation.topics import read_topics

ROBUST = """
<top>

<num> Number: 301
<title> International Organized Crime

<desc> Description:
Identify organizations that participate
</top>
<top>
<num> Number: 302
<title>Poliomyelitis &amp;
Post-Polio

<narr> Narrative:
Is the disease &lt;under&gt; control?
</top>
"""
CLOSED = """<?xml version="1.0"?>
<topics>
<topic number="7">
<query>coronavirus origin</query>
<question>what is the origin of COVID-19</question>
</topic>
<top><num>8</num><title>second</title><desc>not this</desc></top>
</topics>
"""


def test_old_markup(tmp_path):
    (tmp_path / "topics.txt").write_text(ROBUST)
    assert read_topics(tmp_path / "topics.txt") == [
        Query("301", "International Organized Crime"),
        Query("302", "Poliomyelitis & Post-Polio"),
    ]


def test_closed_tags_and_attributes(tmp_path):
    (tmp_path / "topics.xml").write_text(CLOSED)
    assert read_topics(tmp_path / "topics.xml") == [
        Query("7", "coronavirus origin"),
        Query("8", "second"),
    ]


@pytest.mark.parametrize(
    ("begin", "end", "query_id"),
    [
        ("<topic number='topic1'>", "</topic>", "topic1"),
        ("<topic id='number_3'>", "</topic>", "number_3"),
        ("<top><num> Number: topic-2 ", "</top>", "topic-2"),
        ("<top><num>topic4 ", "</top>", "topic4"),
        ("<top><num>Number 5 ", "</top>", "5"),
        ("<top><num> Topic : 6 ", "</top>", "6"),
    ],
)
def test_only_a_label_before_a_number_is_none_of_it(tmp_path, begin, end, query_id):
    (tmp_path / "t").write_text(f"{begin}<title> wings {end}")
    assert read_topics(tmp_path / "t") == [Query(query_id, "wings")]


def test_only_tags_of_topics_are_tags(tmp_path):
    (tmp_path / "t").write_text(
        "<top lang='en'>\n<NUM> Number: 1\n<title> cells where p<a and b>c grow\n"
        "<desc> Description:\nx<y\n</top>\n"
        "<top><num>2</num><title>the <i>E. coli</i> genome</title><note>no</note></top>\n"
    )
    assert read_topics(tmp_path / "t") == [
        Query("1", "cells where p<a and b>c grow"),
        Query("2", "the <i>E. coli</i> genome"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<![CDATA[a & b < c]]>", "a & b < c"),
        ("<![CDATA[&amp; as it is]]>, &amp; as one", "&amp; as it is, & as one"),
        ("one <![CDATA[two\n& three]]> four <![CDATA[]]>five", "one two & three four five"),
    ],
)
def test_cdata_is_text_as_it_is(tmp_path, text, expected):
    head = '<?xml version="1.0"?>\n<topics>\n'
    (tmp_path / "t").write_text(f"{head}<topic number='1'><query>{text}</query></topic></topics>")
    assert read_topics(tmp_path / "t") == [Query("1", expected)]
    (parsed,) = ElementTree.parse(tmp_path / "t").iter("query")
    assert " ".join(parsed.text.split()) == expected


def test_other_forms(tmp_path):
    (tmp_path / "q.tsv").write_text("1\tone\n2\ttwo\n")
    (tmp_path / "queries.jsonl").write_text('{"_id": "a", "text": "<top> of the hill"}\n')
    (tmp_path / "q.txt").write_text("first\n\nthird\n")
    assert read_topics(tmp_path / "q.tsv") == [Query("1", "one"), Query("2", "two")]
    assert read_topics(tmp_path) == [Query("a", "<top> of the hill")]
    assert read_topics(tmp_path / "q.txt") == [Query("1", "first"), Query("3", "third")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<top>\n<title> x\n</top>\n", "t:3: a topic with number ''"),
        ("<top>\n<num> 1 2\n<title> x\n</top>\n", "t:4: a topic with number '1 2'"),
        ("<top>\n<num> 1\n</top>\n", "t:3: topic 1 without text"),
        ("<top>\n<num> 1\n<title> x\n", "t:3: the end of the file inside a topic"),
        ("<top>\n<num> 1\n<top>\n", "t:3: <top> inside a topic"),
        ("<top><num>1<title>x</top>\n<top><num>1<title>y</top>\n", "t:2: topic 1 again"),
        ("<topics>\n</topics>\n", "no query came"),
    ],
)
def test_malformed_topics(tmp_path, content, message):
    (tmp_path / "t").write_text(content)
    with pytest.raises(DataFormatError, match=message):
        read_topics(tmp_path / "t")


def test_malformed_tsv(tmp_path):
    (tmp_path / "t.tsv").write_text("1\tone\n2\n")
    with pytest.raises(DataFormatError, match=r"t.tsv:2: 1 columns came"):
        read_topics(tmp_path / "t.tsv")
