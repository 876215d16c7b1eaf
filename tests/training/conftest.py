"""A tiny model folder, and a tiny training set over its words."""

from __future__ import annotations

import json
import shutil

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
def prompting_model(model_folder):
    """A dense model that pools the greatest, with "fox " before queries, "dog " before others."""
    folder = shutil.copytree(model_folder.parent / "body", model_folder.parent / "prompting")
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_max_tokens": True}))
    kinds = ["Transformer", "Pooling"]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(zip(kinds, ("", "1_Pooling"), strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    prompts = {"prompts": {"query": "fox ", "document": "dog "}}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return folder


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
