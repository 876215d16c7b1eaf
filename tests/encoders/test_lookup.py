"""Query weights by hand, and files that do not fit."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import tokenizers
from safetensors.numpy import save_file

from sparse_ir.encoders.encoder import weighted_terms
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.errors import InvalidInputError

WORDS = ["[UNK]", "a", "b", "c"]


def tokenizer():
    numbered = {word: i for i, word in enumerate(WORDS)}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(numbered, unk_token="[UNK]"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


WEIGHTS = np.array([0, 0.5, 2, 0], np.float32)


def test_presence_and_counts():
    texts = ["b a b b", "", "c x x", "a"]
    once = LookupEncoder(tokenizer(), WEIGHTS, counts=False).encode(texts)
    times = LookupEncoder(tokenizer(), WEIGHTS, counts=True).encode(texts)
    assert once.toarray().tolist() == [[0, 0.5, 2, 0], [0] * 4, [0] * 4, [0, 0.5, 0, 0]]
    assert times.toarray().tolist() == [[0, 0.5, 6, 0], [0] * 4, [0] * 4, [0, 0.5, 0, 0]]
    assert once.dtype == np.float32
    assert once.nnz == 3
    assert once.has_canonical_format


def test_significance():
    """The median of 1/2 and 2 is 5/4; words are cut at dashes, and "x" has no weight."""
    encoder = LookupEncoder(tokenizer(), WEIGHTS, counts=True)
    words = {"a": np.sqrt(0.4), "b": np.sqrt(1.6), "a-b-c": np.sqrt(1.6), "c": 1, "x": 1, "": 1}
    assert {word: encoder.significance(word) for word in words} == pytest.approx(words)
    other = encoder.with_weights(np.array([0, 1, 1, 4], np.float32))
    assert [other.significance(word) for word in "abc"] == [1, 1, 2]
    assert encoder.significance("a") == pytest.approx(words["a"])


def test_special_tokens_and_limits_are_left_out():
    made = tokenizer()
    made.enable_truncation(2)
    made.enable_padding(length=8, pad_id=3, pad_token="c")
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="b $A", special_tokens=[("b", 2)]
    )
    encoded = LookupEncoder(made, WEIGHTS, counts=True).encode(["a a a a"])
    assert encoded.toarray().tolist() == [[0, 2.0, 0, 0]]


def test_comes_back_from_a_folder(tmp_path):
    LookupEncoder(tokenizer(), WEIGHTS, counts=True).save(tmp_path / "q")
    loaded = LookupEncoder.load(tmp_path / "q")
    assert loaded.counts
    assert loaded.vocabulary.terms == tuple(WORDS)
    assert loaded.encode(["b b"]).toarray().tolist() == [[0, 0, 4, 0]]
    assert [path.name for path in tmp_path.iterdir()] == ["q"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3, np.float32), r"\(3,\) weights came for a tokenizer of 4 tokens"),
        (np.array([0, -1, 0, 0], np.float32), "negative or not finite"),
        (np.array([0, np.nan, 0, 0], np.float32), "negative or not finite"),
    ],
)
def test_refuses_bad_weights(weights, message):
    with pytest.raises(InvalidInputError, match=message):
        LookupEncoder(tokenizer(), weights, counts=True)


def test_refuses_what_is_no_text():
    encoder = LookupEncoder(tokenizer(), WEIGHTS, counts=True)
    with pytest.raises(InvalidInputError, match=r"character 3 of a text is '\\udcff', half"):
        encoder.encode(["a", "b \udcff"])
    with pytest.raises(InvalidInputError, match="a int came as a text; want a string"):
        weighted_terms(encoder, 7)
    with pytest.raises(InvalidInputError, match="the string 'a b' came as texts; want a list"):
        encoder.encode("a b")
    assert encoder.encode(["a \U0001f98a"]).toarray().tolist() == [[0, 0.5, 0, 0]]


def test_refuses_tokens_whose_numbers_have_gaps():
    model = tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "b": 5}, unk_token="[UNK]")
    with pytest.raises(InvalidInputError, match="'b' has the number 5, where 2 is due"):
        LookupEncoder(tokenizers.Tokenizer(model), WEIGHTS[:3], counts=True)


def test_a_save_that_fails_loses_no_encoder(tmp_path, monkeypatch):
    old = LookupEncoder(tokenizer(), WEIGHTS, counts=True)
    old.save(tmp_path / "q")
    rename = os.replace

    def fails_at_last(source, target):
        if source == tmp_path / "q.tmp":
            raise OSError("no more")
        rename(source, target)

    monkeypatch.setattr(os, "replace", fails_at_last)
    with pytest.raises(OSError, match="no more"):
        old.with_weights(WEIGHTS + 1).save(tmp_path / "q")
    monkeypatch.undo()
    np.testing.assert_array_equal(LookupEncoder.load(tmp_path / "q").weights, WEIGHTS)
    old.with_weights(WEIGHTS + 1).save(tmp_path / "q")
    np.testing.assert_array_equal(LookupEncoder.load(tmp_path / "q").weights, WEIGHTS + 1)
    (tmp_path / "q").rename(tmp_path / "q.replaced")  # as a crash leaves it
    np.testing.assert_array_equal(LookupEncoder.load(tmp_path / "q").weights, WEIGHTS + 1)
    old.save(tmp_path / "q")
    assert [path.name for path in tmp_path.iterdir()] == ["q"]


def test_refuses_bad_files(tmp_path):
    folder = tmp_path / "q"
    LookupEncoder(tokenizer(), WEIGHTS, counts=True).save(folder)
    for name, content, message in [
        ("config.json", b"{", "not JSON"),
        ("config.json", b"[]", "want a JSON object"),
        ("config.json", b"\xff{}", "not JSON"),
        ("tokenizer.json", b"{}", "no tokenizer.json"),
        ("tokenizer.json", b"\xff\xfe{}", "no tokenizer.json"),
        ("model.safetensors", b"no", "no safetensors file"),
    ]:
        kept = (folder / name).read_bytes()
        (folder / name).write_bytes(content)
        with pytest.raises(InvalidInputError, match=message):
            LookupEncoder.load(folder)
        (folder / name).write_bytes(kept)
    save_file({"other": WEIGHTS}, folder / "model.safetensors")
    with pytest.raises(InvalidInputError, match="holds no tensor 'weight'"):
        LookupEncoder.load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(FileNotFoundError):
        LookupEncoder.load(folder)


def test_counts_is_read_from_the_folder(tmp_path):
    LookupEncoder(tokenizer(), WEIGHTS, counts=True).save(tmp_path / "q")
    (tmp_path / "q" / "config.json").write_text(json.dumps({"frozen": False}))
    assert not LookupEncoder.load(tmp_path / "q").counts


@pytest.mark.parametrize(
    "config",
    [
        {"prompt": 3},
        {"top_terms": "many"},
        {"top_terms": 0},
        {"top_terms": -1},
        {"top_terms": True},
    ],
)
def test_a_malformed_configuration(tmp_path, config):
    message = {"prompt": "want a string", "top_terms": "want an integer >= 1"}
    (name,) = config
    LookupEncoder(tokenizer(), WEIGHTS, counts=True).save(tmp_path / "q")
    (tmp_path / "q" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InvalidInputError, match=rf"config.json: {name} is .*; {message[name]}"):
        LookupEncoder.load(tmp_path / "q")
