"""Latent attention: each token's state reads from a table of learned vectors, then their mean.

Source: Lee et al. 2024, "NV-Embed", arXiv:2405.17428, section 3.1; the tensors go by the names that
its checkpoints give them. The result is not normalised.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn import functional

from sparse_ir.encoders.json_files import read_object
from sparse_ir.encoders.pooling import mean
from sparse_ir.errors import InvalidInputError

_PREFIX = "latent_attention_model."
_ATTENTION, _FEED_FORWARD = "cross_attend_blocks.0", "cross_attend_blocks.1"
_HEADS = 8  # where the configuration does not say


class LatentAttention:
    """Pools the states of a text's tokens.

    Args:
        tensors: By name, without prefix: ``latents`` (R, H), and two layers behind layer norms:
            attention from the states to the latents, and a gated feed-forward layer.
        heads: Of the attention.

    Raises:
        InvalidInputError: a tensor is missing, or of another shape.
    """

    def __init__(self, tensors: Mapping[str, Tensor], heads: int) -> None:
        self._tensors = dict(tensors)
        self._heads = heads
        self._require_shapes()

    @property
    def width(self) -> int:
        """H, of the states."""
        return self._tensors["latents"].shape[1]

    def to(self, device: torch.device, dtype: torch.dtype) -> LatentAttention:
        """The same, elsewhere."""
        moved = {name: tensor.to(device, dtype) for name, tensor in self._tensors.items()}
        return LatentAttention(moved, self._heads)

    def __call__(self, states: Tensor, mask: Tensor) -> Tensor:
        """(B, H) float32 vectors of (B, T, H) states, of which the (B, T) mask names the text's."""
        attended = self._attend(self._norm(f"{_ATTENTION}.norm", states)) + states
        inner, gate = self._linear(
            f"{_FEED_FORWARD}.fn.net.0", self._norm(f"{_FEED_FORWARD}.norm", attended)
        ).chunk(2, -1)
        fed = self._linear(f"{_FEED_FORWARD}.fn.net.2", inner * functional.gelu(gate)) + attended
        return mean(fed.float(), mask)

    def _attend(self, queries: Tensor) -> Tensor:
        latents = self._norm(f"{_ATTENTION}.norm_context", self._tensors["latents"])
        keys, values = self._linear(f"{_ATTENTION}.fn.to_kv", latents).chunk(2, -1)
        found = functional.scaled_dot_product_attention(
            self._split(self._linear(f"{_ATTENTION}.fn.to_q", queries)),
            self._split(keys[None]),
            self._split(values[None]),
        )
        return self._linear(f"{_ATTENTION}.fn.to_out", found.transpose(1, 2).flatten(2))

    def _split(self, vectors: Tensor) -> Tensor:
        """(B, heads, T, width of a head)."""
        return vectors.reshape(*vectors.shape[:-1], self._heads, -1).transpose(1, 2)

    def _linear(self, name: str, vectors: Tensor) -> Tensor:
        bias = self._tensors.get(f"{name}.bias")
        return functional.linear(vectors, self._tensors[f"{name}.weight"], bias)

    def _norm(self, name: str, vectors: Tensor) -> Tensor:
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return functional.layer_norm(vectors, weight.shape, weight, bias)

    def _require_shapes(self) -> None:
        has = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}
        width = has.get("latents", (0, 0))[-1]
        inner = has.get(f"{_ATTENTION}.fn.to_q.weight", (0,))[0]
        wide = has.get(f"{_FEED_FORWARD}.fn.net.2.weight", (0, 0))[-1]
        wanted: dict[str, tuple[int, ...]] = {
            f"{_ATTENTION}.fn.to_q.weight": (inner, width),
            f"{_ATTENTION}.fn.to_kv.weight": (2 * inner, width),
            f"{_ATTENTION}.fn.to_out.weight": (width, inner),
            f"{_FEED_FORWARD}.fn.net.0.weight": (2 * wide, width),
            f"{_FEED_FORWARD}.fn.net.0.bias": (2 * wide,),
            f"{_FEED_FORWARD}.fn.net.2.weight": (width, wide),
            f"{_FEED_FORWARD}.fn.net.2.bias": (width,),
        }
        for norm in (f"{_ATTENTION}.norm", f"{_ATTENTION}.norm_context", f"{_FEED_FORWARD}.norm"):
            wanted |= {f"{norm}.weight": (width,), f"{norm}.bias": (width,)}
        for name, shape in wanted.items():
            if has.get(name) != shape:
                raise InvalidInputError(
                    f"latent attention: the tensor {name} is {has.get(name, 'missing')}; want "
                    f"{shape}"
                )
        if not self._heads >= 1 or inner % self._heads:
            raise InvalidInputError(
                f"latent attention: {self._heads} heads came for {inner} numbers; want a divisor"
            )


def load_latent_attention(folder: Path) -> LatentAttention | None:
    """The latent attention of a checkpoint; None if it has none.

    Args:
        folder: With ``*.safetensors``, and the number of heads in ``config.json``, there called
            ``latent_attention_config.num_cross_heads``.

    Raises:
        InvalidInputError: a tensor is missing, or of another shape.
    """
    tensors: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(_PREFIX)]  # noqa: SIM118
            tensors |= {name.removeprefix(_PREFIX): file.get_tensor(name) for name in names}
    if not tensors:
        return None
    settings = read_object(folder / "config.json").get("latent_attention_config") or {}
    try:
        return LatentAttention(tensors, settings.get("num_cross_heads", _HEADS))
    except InvalidInputError as error:
        raise InvalidInputError(f"{folder}: {error}") from None
