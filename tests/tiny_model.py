"""A tiny random BERT, its tokenizer, and a model folder of ours over it, made on the spot."""

from __future__ import annotations

import numpy as np
import tokenizers
import torch
import transformers

from sparse_ir.encoders.checkpoint import ModelSettings, save_model
from sparse_ir.encoders.lookup import LookupEncoder

WORDS = (
    "the red fox dog sleeps runs fast animal puppy quick over under water day night".split()  # noqa: SIM905
)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def make_tiny_model(folder):
    """The path of a model over a tiny random BERT, that fires for about half of its terms."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    transformers.BertModel(tiny_config(tokenizer)).save_pretrained(folder / "body")
    tokenizer.save_pretrained(folder / "body")
    draw = np.random.default_rng(0)
    head = {
        "dense.weight": np.eye(16, dtype=np.float32),
        "dense.bias": np.full(16, 8, np.float32),
        "norm.weight": np.full(16, 4, np.float32),
        "decoder.bias": draw.normal(0, 0.3, len(tokenizer)).astype(np.float32),
    }
    idf = np.r_[np.zeros(len(SPECIAL)), draw.uniform(1, 5, len(WORDS))].astype(np.float32)
    settings = ModelSettings("tiny", str(folder / "body"), 32, "log1p_relu", 0.4)
    query = LookupEncoder(tokenizer.backend_tokenizer, idf, counts=True)
    save_model(folder / "tiny", settings, head, query)
    return folder / "tiny"


def make_tiny_judge(folder):
    """The path of a random cross-encoder over the body of the tiny model in the folder."""
    body, judge = folder / "body", folder / "judge"
    config = transformers.BertConfig.from_pretrained(body, num_labels=1)
    transformers.BertForSequenceClassification(config).save_pretrained(judge)
    transformers.AutoTokenizer.from_pretrained(body).save_pretrained(judge)
    return judge


def tiny_tokenizer(pieces=()):
    """A tokenizer of the special tokens, the words and these pieces, in BERT's way."""
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *WORDS, *pieces])}
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


def tiny_config(tokenizer, kind=transformers.BertConfig):
    """Two layers of 16 dimensions and 64 positions."""
    shape = {"vocab_size": len(tokenizer), "max_position_embeddings": 64}
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
