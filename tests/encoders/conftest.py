"""Tiny random checkpoints in the hub's on-disk format, made on the spot."""

from __future__ import annotations

import threading

import pytest
import tokenizers
import torch
import transformers

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


def tiny_tokenizer():
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS, "##s", "##es", "f"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def tiny_config(kind=transformers.BertConfig):
    size = len(SPECIAL) + len(WORDS) + 3
    shape = {"vocab_size": size, "max_position_embeddings": 64}
    if kind is transformers.DistilBertConfig:
        return kind(dim=16, n_layers=2, n_heads=2, hidden_dim=32, **shape)
    return kind(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=0,
        **shape,
    )


@pytest.fixture(params=["bert", "distilbert", "roberta"])
def masked_lm_folder(request, tmp_path):
    """A bare masked language model with its tokenizer, of three architectures."""
    torch.manual_seed(0)
    kinds = {
        "bert": (transformers.BertConfig, transformers.BertForMaskedLM),
        "distilbert": (transformers.DistilBertConfig, transformers.DistilBertForMaskedLM),
        "roberta": (transformers.RobertaConfig, transformers.RobertaForMaskedLM),
    }
    config, model = kinds[request.param]
    made = model(tiny_config(config))
    torch.nn.init.normal_(made.get_output_embeddings().bias, std=0.5)
    made.save_pretrained(tmp_path / request.param)
    tiny_tokenizer().save_pretrained(tmp_path / request.param)
    return tmp_path / request.param


@pytest.fixture
def body_folder(tmp_path):
    """A body without a head."""
    torch.manual_seed(0)
    transformers.BertModel(tiny_config()).save_pretrained(tmp_path / "body")
    tiny_tokenizer().save_pretrained(tmp_path / "body")
    return tmp_path / "body"


@pytest.fixture
def make_tokenizer():
    """The tiny tokenizer's maker."""
    return tiny_tokenizer


@pytest.fixture
def among_threads():
    """Calls a function again and again while another thread calls another one; all results."""

    def run(function, other, times=200):
        done = threading.Event()

        def disturb():
            while not done.is_set():
                other()

        thread = threading.Thread(target=disturb)
        thread.start()
        try:
            return [function() for _ in range(times)]
        finally:
            done.set()
            thread.join()

    return run
