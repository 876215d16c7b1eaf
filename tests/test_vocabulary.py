"""Fingerprints tell vocabularies apart."""

from __future__ import annotations

import hashlib

import pytest

from sparse_ir.errors import InvalidInputError, VocabularyMismatchError
from sparse_ir.vocabulary import Vocabulary, require_same_vocabulary


def test_numbers_and_fingerprint():
    vocabulary = Vocabulary.of(["a", "b"])
    assert len(vocabulary) == 2
    assert vocabulary[1] == "b"
    assert vocabulary.fingerprint == hashlib.sha256(b"a\nb").hexdigest()
    assert vocabulary.fingerprint != Vocabulary.of(["b", "a"]).fingerprint


def test_refuses():
    with pytest.raises(InvalidInputError, match="a term twice"):
        Vocabulary.of(["a", "a"])
    require_same_vocabulary("x", "x")
    with pytest.raises(
        VocabularyMismatchError, match="use the model that the index was built with"
    ):
        require_same_vocabulary("x", "y")
