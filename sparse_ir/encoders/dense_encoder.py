"""DenseEncoder: one unit vector a text, by a network of transformers.

Reads sentence-transformers' folders and hub names, and bare networks. Queries and documents may
have prompts of their own, so each role has an encoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sparse_ir.encoders.batches import batches
from sparse_ir.encoders.causal_lm import CausalVectors, load_causal_lm
from sparse_ir.encoders.checkpoint import (
    digest_of_foreign,
    is_own,
    model_folder,
    resolve_body,
)
from sparse_ir.encoders.dense_layout import read_dense_layout
from sparse_ir.encoders.hub_layout import MODULES_FILE, is_causal
from sparse_ir.encoders.json_files import read_object
from sparse_ir.encoders.masked_lm import body_states
from sparse_ir.encoders.options import (
    DEFAULT_DENSE_MODEL,
    LEAST_LENGTH,
    EncoderOptions,
    require_integer,
)
from sparse_ir.encoders.pooling import POOLS, Pool
from sparse_ir.encoders.precision import choose_dtype
from sparse_ir.encoders.pretrained import (
    load_network,
    n_positions,
    require_finite,
    text_reader,
)
from sparse_ir.encoders.tensor_files import load_tensors
from sparse_ir.errors import InvalidInputError

_DEFAULT_LENGTH = 512
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": nn.functional.gelu,
}


class DenseEncoder:
    """Encodes texts as unit vectors, whose products are cosines.

    Args:
        body: Gives (B, T, H) states for token ids and mask.
        pool: From states to one vector a text.
        tokenizer: A fast tokenizer of transformers.
        layers: What the pooled vector goes through.
        max_length: Tokens read of a text, special ones and the prompt's included; >= 3.
        prompt: Put before every text.
        lower_case: Whether texts are lower-cased first.
        pools_prompt: Whether the prompt's tokens are pooled with the text's.
    """

    def __init__(
        self,
        body: Any,
        pool: Pool,
        tokenizer: Any,
        *,
        layers: Sequence[Callable[[Tensor], Tensor]] = (),
        max_length: int = _DEFAULT_LENGTH,
        prompt: str = "",
        lower_case: bool = False,
        pools_prompt: bool = True,
    ) -> None:
        require_integer("max_length", max_length, LEAST_LENGTH)
        self.body = body.eval()
        self.tokenizer = tokenizer
        self.max_length = max_length
        self._pool = pool
        self._layers = list(layers)
        self._reader = text_reader(tokenizer, max_length, prompt=prompt, lower_case=lower_case)
        self._n_left_out = 0 if pools_prompt or not prompt else self._prompt_length()
        self.dimension = len(self._vectors(self.tokenized(["a"]))[0])
        """Numbers of a vector."""
        self.room = self._reader.room
        """Tokens of a text that are read, special ones and the prompt's left out."""

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> NDArray[np.float32]:
        """(n, dimension) float32 unit vectors, in the order of the texts.

        Args:
            texts: n texts, cut at ``max_length`` tokens.
            batch_size: Texts encoded at once, >= 1; those of like length go together.
            on_progress: Told after each batch how many more texts are done.
        """
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        tokens = self.tokenized(texts)
        on_cpu = next(self.body.parameters()).device.type == "cpu"
        for rows in batches(tokens, batch_size, on_cpu=on_cpu):
            vectors[rows] = self._vectors([tokens[i] for i in rows]).cpu().numpy()
            if on_progress:
                on_progress(len(rows))
        return vectors

    def token_spans(self, text: str) -> list[tuple[int, int]]:
        """Where in the text each of its tokens begins and ends."""
        return self._reader.token_spans(text)

    def tokenized(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text, with the prompt and special ones, cut and never empty."""
        pad = [self.tokenizer.pad_token_id or 0]  # a tokenizer without special tokens, no text
        return [one or pad for one in self._reader.read(texts)]

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, dimension) unit vectors of the body's (B, T, H) states, with their gradients."""
        start = self._n_left_out
        pooled = self._pool(states[:, start:].float(), mask[:, start:])
        for layer in self._layers:
            pooled = layer(pooled)
        return nn.functional.normalize(pooled, dim=1)

    def _prompt_length(self) -> int:
        """Tokens of the prompt and of what is before it; a token for the end is not counted."""
        (tokens,) = self._reader.read([""])
        return len(tokens) - (tokens[-1] in self.tokenizer.all_special_ids)

    @torch.inference_mode()
    def _vectors(self, tokens: Sequence[Sequence[int]]) -> Tensor:
        return self.pooled(*body_states(self.body, tokens, self.tokenizer.pad_token_id or 0))


def load_dense_encoder(
    model: str = DEFAULT_DENSE_MODEL,
    role: Literal["document", "query"] = "document",
    options: EncoderOptions | None = None,
) -> DenseEncoder | CausalVectors:
    """The document or query encoder of a dense model.

    A decoder-only language model without sentence-transformers' files gives the dense half of
    PromptReps, or of what its ``causal_lm.json`` says.

    Args:
        model: ``package:NAME``, a folder of sentence-transformers or with a network in it, or the
            name of one on the Hugging Face hub.
        role: Which of the model's prompts is put before the texts.
        options: Of these ``max_length``, ``device`` and ``precision`` count. A length is read as
            far as the model has positions: it often is a sparse model's, or that of all teachers.

    Raises:
        InvalidInputError: no such model, a sparse one, or its files do not fit together.
        MissingDependencyError: the package that carries it is not installed.
    """
    options = options or EncoderOptions()
    folder = dense_folder(model)
    if not (folder / MODULES_FILE).is_file() and is_causal(folder):
        return CausalVectors(load_causal_lm(folder, options, role=role))
    layout = read_dense_layout(folder)
    body, tokenizer = load_network(str(layout.folder), device=options.device)
    device = next(body.parameters()).device
    dtype = choose_dtype(options.precision, device)
    return DenseEncoder(
        body.to(dtype),
        POOLS[layout.pooling],
        tokenizer,
        layers=[_layer(path, device) for path in layout.layers],
        max_length=min(
            options.max_length or layout.max_length or _DEFAULT_LENGTH, n_positions(body)
        ),
        prompt=layout.query_prompt if role == "query" else layout.document_prompt,
        lower_case=layout.lower_case,
        pools_prompt=layout.pools_prompt,
    )


def dense_folder(model: str) -> Path:
    """Where the dense model's files are.

    Raises:
        InvalidInputError: no such model, or a sparse one of ours.
    """
    if model.startswith("package:"):
        return Path(resolve_body(model))
    folder = model_folder(model)
    if is_own(folder):
        raise InvalidInputError(
            f"{model} is a sparse model; want a dense one, as {DEFAULT_DENSE_MODEL}"
        )
    return folder


def fingerprint(model: str) -> str:
    """Digest of the files that decide the model's vectors, as hexadecimal."""
    return digest_of_foreign(dense_folder(model))


def _layer(folder: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A linear layer of sentence-transformers, with its activation."""
    config = read_object(folder / "config.json")
    name = str(config.get("activation_function", "Identity")).rsplit(".", 1)[-1]
    if name not in _ACTIVATIONS:
        raise InvalidInputError(
            f"{folder}: activation is {name}; want one of {', '.join(_ACTIVATIONS)}"
        )
    tensors = {
        key: torch.from_numpy(array.astype(np.float32)).to(device)
        for key, array in load_tensors(folder / "model.safetensors").items()
    }
    require_finite(str(folder), tensors)
    if "linear.weight" not in tensors:
        raise InvalidInputError(f"{folder / 'model.safetensors'} holds no tensor 'linear.weight'")
    weight, bias, activate = (
        tensors["linear.weight"],
        tensors.get("linear.bias"),
        _ACTIVATIONS[name],
    )
    return lambda pooled: activate(nn.functional.linear(pooled, weight, bias))
