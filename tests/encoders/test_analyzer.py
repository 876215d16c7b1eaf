"""Words as Snowball and the stop lists make them."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from sparse_ir.corpus import Document
from sparse_ir.encoders.analyzer import Analyzer, languages
from sparse_ir.errors import InvalidInputError


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("english", "The foxes were Running, running!", ["fox", "were", "run", "run"]),
        ("english", "a b c x-ray 42 1st", ["ray", "42", "1st"]),
        ("german", "Die Häuser und der Häuser", ["haus", "haus"]),
        ("french", "les chevaux mangeaient", ["cheval", "mang"]),
        ("none", "The foxes, C and É", ["the", "foxes", "c", "and", "é"]),
        ("english", "", []),
        ("english", "的 ... !", []),
    ],
)
def test_words(language, text, words):
    assert Analyzer(language).words(text) == words


def test_words_of_a_title_count_several_times():
    document = Document("d", "a red fox", "The foxes")
    counts = {
        weight: Counter(Analyzer("english", weight).document_words(document)) for weight in (1, 3)
    }
    assert counts[1] == {"fox": 2, "red": 1}
    assert counts[3] == {"fox": 4, "red": 1}


@pytest.mark.parametrize("weight", [0, 101, 2.0, None])
def test_title_weights_out_of_range_are_refused(weight):
    with pytest.raises(InvalidInputError, match="want an integer, 1..100"):
        Analyzer("english", weight)


def test_languages_all_work():
    assert {"none", "english", "german", "russian", "tamil"} <= set(languages())
    for language in languages():
        assert Analyzer(language).words("zzyzx zzyzx")[0]


def test_unknown_language():
    with pytest.raises(InvalidInputError, match="'klingon'; want one of: none, arabic"):
        Analyzer("klingon")


def test_threads_share_an_analyzer():
    analyzer = Analyzer("english")
    texts = [f"running foxes jumped {i} times" for i in range(2000)]
    expected = [
        ["run", "fox", "jump", str(i), "time"] if i > 9 else ["run", "fox", "jump", "time"]
        for i in range(2000)
    ]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(analyzer.words, texts)) == expected
