"""The distilled table against least squares solved directly, and what it is refused."""

from __future__ import annotations

import numpy as np
import pytest
import tokenizers

from sparse_ir.encoders import dense_table
from sparse_ir.encoders.dense_table import DenseTable, distil
from sparse_ir.errors import InvalidInputError

WORDS = [f"w{i}" for i in range(40)]
DRAW = np.random.default_rng(2)
TRUE_ROWS = DRAW.normal(size=(len(WORDS), 6)).astype(np.float32)
TEXTS = [" ".join(DRAW.choice(WORDS, DRAW.integers(2, 9))) for _ in range(400)]


def tokenizer():
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="w0")
    made = tokenizers.Tokenizer(model)
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return made


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def mean_of_rows(texts, rows=TRUE_ROWS):
    return np.stack([rows[[WORDS.index(w) for w in t.split()]].mean(0) for t in texts])


def test_what_is_linear_is_found():
    vectors = unit(mean_of_rows(TEXTS)).astype(np.float32)
    start = unit(TRUE_ROWS + 0.8 * DRAW.normal(size=TRUE_ROWS.shape)).astype(np.float32)
    found = distil(tokenizer(), start, TEXTS, vectors, "model")
    assert found.cosine > 0.97 > found.cosine_of_tokens
    unseen = [" ".join(DRAW.choice(WORDS, 4)) for _ in range(50)]
    cosines = (found.table.encode(unseen) * unit(mean_of_rows(unseen))).sum(1)
    assert cosines.mean() > 0.97
    assert found.table.fingerprint == "model"


@pytest.mark.parametrize("strength", [0.001, 0.1])
def test_the_minimum_is_that_of_a_direct_solution(strength):
    shares = dense_table._shares(tokenizer(), TEXTS)
    wanted = unit(mean_of_rows(TEXTS)).astype(np.float32)
    start = DRAW.normal(size=TRUE_ROWS.shape).astype(np.float32)
    dense = shares.toarray().astype(float)
    ridge = strength * dense.shape[0] / dense.shape[1]
    expected = start + np.linalg.solve(
        dense.T @ dense + ridge * np.eye(dense.shape[1]), dense.T @ (wanted - dense @ start)
    )
    found = dense_table._fit(shares, wanted, start, strength)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def test_one_linear_map_gives_every_token_a_row():
    texts = [text.replace("w7", "w8") for text in TEXTS]  # nothing is said of w7
    shares = dense_table._shares(tokenizer(), texts)
    wanted = unit(mean_of_rows(texts)).astype(np.float32)
    alone = DRAW.normal(size=TRUE_ROWS.shape).astype(np.float32)
    n = [sum(w in text.split() for text in texts) for w in WORDS]
    idf = np.array([np.log(401 / (df + 0.5)) / np.log(401) for df in n])[:, None]
    known = np.hstack([alone, idf * alone, idf, np.ones((40, 1))])
    means = np.stack([known[[WORDS.index(w) for w in t.split()]].mean(0) for t in texts])
    ridge = np.sqrt(1e-4 * 400) * np.eye(known.shape[1])
    weights, *_ = np.linalg.lstsq(
        np.vstack([means, ridge]), np.vstack([wanted, np.zeros((known.shape[1], 6))])
    )
    found = dense_table._mapped(shares, alone, wanted)
    np.testing.assert_allclose(found, known @ weights, atol=2e-3)
    fitted = dense_table._fit(shares, wanted, found, 0.01)
    np.testing.assert_array_equal(fitted[7], found[7])
    assert np.abs(fitted - found).max(1).argsort()[0] == 7


def test_sums_of_rows_saved_and_read(tmp_path):
    table = DenseTable(tokenizer(), TRUE_ROWS.astype(np.float16), "abc")
    vectors = table.encode(["w1 w1 w3", "", "w2"])
    expected = unit((2 * TRUE_ROWS[1] + TRUE_ROWS[3])[None])[0]
    np.testing.assert_allclose(vectors[0], expected, atol=2e-3)
    assert vectors[1].tolist() == [0] * 6
    table.save(tmp_path / "table")
    again = DenseTable.load(tmp_path / "table")
    assert again.fingerprint == "abc"
    assert again.dimension == 6
    np.testing.assert_array_equal(again.encode(["w1 w5"]), table.encode(["w1 w5"]))
    assert table.encode([]).shape == (0, 6)


def test_what_does_not_fit():
    with pytest.raises(InvalidInputError, match="for a tokenizer of 40 tokens"):
        DenseTable(tokenizer(), np.zeros((3, 2), np.float16))
    with pytest.raises(InvalidInputError, match="5 texts came; want 20"):
        distil(tokenizer(), TRUE_ROWS, TEXTS[:5], mean_of_rows(TEXTS[:5]))


def test_texts_are_neither_cut_nor_padded_when_a_table_is_fitted():
    """Whatever the tokenizer of the dense model does by itself."""
    cutting = tokenizer()
    cutting.enable_truncation(2)
    cutting.enable_padding(length=50)
    start = TRUE_ROWS.astype(np.float32)
    vectors = unit(mean_of_rows(TEXTS)).astype(np.float32)
    found, expected = (distil(one, start, TEXTS, vectors).table for one in (cutting, tokenizer()))
    np.testing.assert_array_equal(found.encode(TEXTS), expected.encode(TEXTS))
