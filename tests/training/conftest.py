"""A tiny model folder, and a tiny training set over its words."""

from __future__ import annotations

import json

import pytest
from tiny_model import make_tiny_model

from sparse_ir.corpus import Document
from sparse_ir.training.examples import TrainingSet

TEXTS = [
    "the red fox runs fast over water",
    "the dog sleeps under water at night",
    "a quick puppy runs over the day",
    "an animal sleeps day and night",
    "fast dog, quick fox; red animal",
    "under water the fox sleeps all day",
]


@pytest.fixture
def model_folder(tmp_path):
    """As ``make_tiny_model``."""
    return make_tiny_model(tmp_path)


@pytest.fixture
def examples():
    """Six documents, four labelled queries."""
    made = TrainingSet("tiny", [Document(f"d{i}", text) for i, text in enumerate(TEXTS)])
    made.add_query("fast red fox", (0,))
    made.add_query("sleeping dog", (1,), negatives=(3,), scores={1: 0.9, 3: 0.2})
    made.add_query("quick puppy", (2, 4))
    made.add_query("animal at night", (3,))
    made.n_labelled = 4
    return made


@pytest.fixture
def jsonl(tmp_path):
    """The path of a training file, from records."""

    def write(*records, name="train.jsonl"):
        path = tmp_path / name
        lines = [r if isinstance(r, str) else json.dumps(r) for r in records]
        path.write_text("\n".join(lines) + "\n")
        return path

    return write
