"""Tiny random checkpoints in the hub's on-disk format, made on the spot."""

from __future__ import annotations

import threading

import pytest
import torch
import transformers
from tiny_model import tiny_config, tiny_tokenizer

PIECES = ("##s", "##es", "f")


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
    tokenizer = tiny_tokenizer(PIECES)
    made = model(tiny_config(tokenizer, config))
    torch.nn.init.normal_(made.get_output_embeddings().bias, std=0.5)
    made.save_pretrained(tmp_path / request.param)
    tokenizer.save_pretrained(tmp_path / request.param)
    return tmp_path / request.param


@pytest.fixture
def body_folder(tmp_path):
    """A body without a head."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer(PIECES)
    transformers.BertModel(tiny_config(tokenizer)).save_pretrained(tmp_path / "body")
    tokenizer.save_pretrained(tmp_path / "body")
    return tmp_path / "body"


@pytest.fixture
def make_tokenizer():
    """The tiny tokenizer's maker."""
    return lambda: tiny_tokenizer(PIECES)


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
