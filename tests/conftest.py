"""Settings for every test, the folder of shared modules on the path, and a model of ten words.

The model needs no network: its word pieces are words, and some of them expand.
"""

from __future__ import annotations

import os
from importlib import import_module

import numpy as np
import pytest
import tokenizers

from sparse_ir.encoders.checkpoint import ModelSettings
from sparse_ir.encoders.lookup import LookupEncoder

os.environ["HF_HUB_OFFLINE"] = "1"
if "PYTEST_XDIST_WORKER" in os.environ:  # of which there is one a core
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is imported

# Not ``from sparse_ir.retrieval import ingest``: the package also has a function of that name.
USERS_OF_MODELS = [
    import_module(f"sparse_ir.retrieval.{name}") for name in ("ingest", "text_index", "cached")
]
USERS_OF_VECTORS = [
    import_module(f"sparse_ir.retrieval.{name}") for name in ("dense_part", "hybrid", "ingest")
]

WORDS = ("[UNK]", "red", "fox", "dog", "puppy", "sleeps", "runs", "animal", "fast", "quick")
EXPANSIONS = {"fox": "animal", "dog": "puppy", "fast": "quick"}


def lookup(weights) -> LookupEncoder:
    model = tokenizers.models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = tokenizers.normalizers.Lowercase()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    return LookupEncoder(tokenizer, np.asarray(weights, np.float32), counts=True)


class ExpandingEncoder:
    """Every word with weight 1, and its expansion with weight 0.5."""

    def __init__(self) -> None:
        self._plain = lookup([0, *[1] * (len(WORDS) - 1)])
        self.vocabulary = self._plain.vocabulary
        self.encoded: list[str] = []

    def encode(self, texts, *, batch_size=32, on_progress=None):
        self.encoded += texts
        matrix = self._plain.encode(texts)
        matrix.data[:] = 1
        dense = matrix.toarray()
        for word, expansion in EXPANSIONS.items():
            column = WORDS.index(expansion)
            dense[:, column] = np.maximum(dense[:, column], dense[:, WORDS.index(word)] / 2)
        if on_progress:
            on_progress(len(texts))
        return type(matrix)(dense)

    def own_terms(self, text):
        return self._plain.own_terms(text)


class CountingEncoder:
    """A dimension a word: how often it or what expands to it occurs, and a last one that is 1."""

    dimension = len(WORDS) + 1

    def __init__(self) -> None:
        self.encoded: list[str] = []
        self.n_loads = 0

    def load(self, model, role="document", options=None):
        self.n_loads += role == "document"
        return self

    def encode(self, texts, *, batch_size=32, on_progress=None):
        self.encoded += texts
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        vectors[:, -1] = 1
        for row, text in enumerate(texts):
            for word in text.lower().split():
                for found in (word, EXPANSIONS.get(word)):
                    if found in WORDS:
                        vectors[row, WORDS.index(found)] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def dense_encoder(monkeypatch) -> CountingEncoder:
    """What is loaded for every dense model."""
    encoder = CountingEncoder()
    fakes = {
        "load_dense": encoder.load,
        "fingerprint_of": lambda model: model,
    }
    for module in USERS_OF_VECTORS:
        for name, fake in fakes.items():
            if hasattr(module, name):
                monkeypatch.setattr(module, name, fake)
    return encoder


@pytest.fixture
def make_lookup():
    """The table's maker, for a test that wants another table."""
    return lookup


@pytest.fixture
def document_encoder(monkeypatch) -> ExpandingEncoder:
    """What is loaded for the models named ``words`` and ``others``."""
    encoder = ExpandingEncoder()
    query = lookup([0, *np.arange(1, len(WORDS)) / 4])

    def load(name, role="document", **options):
        assert name in ("words", "others")
        return encoder if role == "document" else query

    def settings(name):
        return ModelSettings(name, "none", 256, "log1p_relu", 0.5, fingerprint=name)

    for module in USERS_OF_MODELS:
        monkeypatch.setattr(module, "load_encoder", load)
        if hasattr(module, "model_settings"):
            monkeypatch.setattr(module, "model_settings", settings)
    return encoder
