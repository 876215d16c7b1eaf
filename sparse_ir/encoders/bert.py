"""Bert: the network of BERT, MiniLM and their kin for inference, loaded in half a second.

transformers' own takes some seconds to import, which is most of the time of a short command. Its
modules are named as in the checkpoints, and so are these. Source: Devlin et al. 2019, "BERT:
Pre-training of Deep Bidirectional Transformers", arXiv:1810.04805, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sparse_ir.encoders.json_files import read_optional
from sparse_ir.encoders.tensor_files import load_tensors

WEIGHTS_FILE = "model.safetensors"
_USUAL = {
    "hidden_act": "gelu",
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}


def read_bert(folder: Path) -> Bert | None:
    """The network in the folder, in float32; None if it is another or not whole.

    transformers loads the others, and says of those that are not whole what they lack.
    """
    config, weights = read_optional(folder / "config.json"), folder / WEIGHTS_FILE
    is_usual = all(config.get(name, value) == value for name, value in _USUAL.items())
    if config.get("model_type") != "bert" or not is_usual or not weights.is_file():
        return None
    try:
        tensors = {
            name.removeprefix("bert."): torch.from_numpy(array.astype(np.float32))
            # Older checkpoints hold the numbers of positions, 0 to 511, too.
            for name, array in load_tensors(weights, skip_others=True).items()
        }
        if not _fits(config, tensors):
            return None
        # Not on the device "meta", where nothing is drawn: to import that takes a second.
        with torch.random.fork_rng(devices=[]):
            body = Bert(SimpleNamespace(**config))
        body.load_state_dict({name: tensors[name] for name in body.state_dict()}, assign=True)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError, AttributeError):
        return None
    return body.requires_grad_(False).eval()


def _fits(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> bool:
    """Whether the sizes are those of the tensors; so nothing larger than the file is made."""
    width, inner = config["hidden_size"], config["intermediate_size"]
    n_layers = sum(name.endswith(".attention.self.query.weight") for name in tensors)
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], width),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], width),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], width),
        "encoder.layer.0.attention.self.query.weight": (width, width),
        "encoder.layer.0.intermediate.dense.weight": (inner, width),
    }
    return n_layers == config["num_hidden_layers"] and all(
        tensors[name].shape == shape for name, shape in shapes.items()
    )


class States(NamedTuple):
    """What a body gives."""

    last_hidden_state: Tensor
    """(B, T, H)"""


class Bert(nn.Module):
    """The network.

    Args:
        config: As in ``config.json``: ``hidden_size``, ``num_hidden_layers`` and so on.
    """

    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(config.vocab_size, config.hidden_size),
                "position_embeddings": nn.Embedding(
                    config.max_position_embeddings, config.hidden_size
                ),
                "token_type_embeddings": nn.Embedding(config.type_vocab_size, config.hidden_size),
                "LayerNorm": _norm(config),
            }
        )
        layers = [_Layer(config) for _ in range(config.num_hidden_layers)]
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> States:
        """States of (B, T) token ids, in which a mask of 0 is padding."""
        parts = self.embeddings
        positions = torch.arange(input_ids.shape[1], device=input_ids.device)
        states = parts["LayerNorm"](
            parts["word_embeddings"](input_ids)
            + parts["position_embeddings"](positions)
            + parts["token_type_embeddings"](torch.zeros_like(positions))
        )
        mask = attention_mask[:, None, None, :].bool()
        for layer in self.encoder["layer"]:  # type: ignore[attr-defined]
            states = layer(states, mask)
        return States(states)

    def get_input_embeddings(self) -> nn.Module:
        """Of words."""
        return self.embeddings["word_embeddings"]


class _Layer(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        width, inner = config.hidden_size, config.intermediate_size
        self.attention = _Attention(config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, width), "LayerNorm": _norm(config)})

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        states = self.attention(states, mask)
        inner = functional.gelu(self.intermediate["dense"](states))
        return _add_and_norm(self.output, inner, states)


class _Attention(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        width, self.n_heads = config.hidden_size, config.num_attention_heads
        if width % self.n_heads:
            raise ValueError(f"{self.n_heads} heads came; want a divisor of {width}")
        self.self = nn.ModuleDict(
            {role: nn.Linear(width, width) for role in ("query", "key", "value")}
        )
        self.output = nn.ModuleDict({"dense": nn.Linear(width, width), "LayerNorm": _norm(config)})

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        query, key, value = (
            self.self[role](states).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
            for role in ("query", "key", "value")
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return _add_and_norm(self.output, mixed.transpose(1, 2).flatten(2), states)


def _add_and_norm(output: nn.ModuleDict, found: Tensor, states: Tensor) -> Tensor:
    added: Tensor = output["LayerNorm"](output["dense"](found) + states)
    return added


def _norm(config: SimpleNamespace) -> nn.LayerNorm:
    return nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
