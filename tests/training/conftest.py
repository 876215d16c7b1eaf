"""A tiny model folder, and a tiny training set over its words."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tokenizers
import torch
import transformers

from sparse_ir.corpus import Document
from sparse_ir.encoders.checkpoint import ModelSettings, save_model
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.training.examples import TrainingSet

WORDS = [
    "the",
    "red",
    "fox",
    "dog",
    "sleeps",
    "runs",
    "fast",
    "animal",
    "puppy",
    "quick",
    "over",
    "under",
    "water",
    "day",
    "night",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
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
    """A model of ours over a tiny random BERT, that fires for about half of its terms."""
    torch.manual_seed(0)
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        pad_token_id=0,
    )
    transformers.BertModel(config).save_pretrained(tmp_path / "body")
    fast.save_pretrained(tmp_path / "body")
    draw = np.random.default_rng(0)
    head = {
        "dense.weight": np.eye(16, dtype=np.float32),
        "dense.bias": np.full(16, 8, np.float32),
        "norm.weight": np.full(16, 4, np.float32),
        "decoder.bias": draw.normal(0, 0.3, len(vocabulary)).astype(np.float32),
    }
    idf = np.r_[np.zeros(len(SPECIAL)), draw.uniform(1, 5, len(WORDS))].astype(np.float32)
    settings = ModelSettings("tiny", str(tmp_path / "body"), 32, "log1p_relu", 0.4)
    save_model(tmp_path / "tiny", settings, head, LookupEncoder(tokenizer, idf, counts=True))
    return tmp_path / "tiny"


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
