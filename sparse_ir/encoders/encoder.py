"""Encoder: anything that turns text into term weights; and how to get one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

from sparse_ir.encoders.checkpoint import load_document_encoder, load_query_encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.vectors import TermWeights
from sparse_ir.vocabulary import Vocabulary


class Encoder(Protocol):
    """Turns texts into term weights. It knows no queries or documents: a model has one for each."""

    vocabulary: Vocabulary

    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> TermWeights:
        """(n, len(vocabulary)) float32 csr_array; ``on_progress`` is told how many more it did."""
        ...


def load_encoder(
    model: str = "mini",
    role: Literal["document", "query"] = "document",
    *,
    max_length: int | None = None,
) -> Encoder:
    """The document or query encoder of a model.

    Args:
        model: A model that ships with the package (``mini``), a model folder, or the name of a
            masked language model on the Hugging Face hub.
        role: Queries of our models need no network; those of a bare masked language model do.
        max_length: Tokens of a document that are read; None takes the model's own limit.

    Raises:
        InvalidInputError: no such model, or its files do not fit together.
        MissingDependencyError: a network is needed and the extra ``models`` is not installed.
    """
    if role == "query":
        return load_query_encoder(model)
    if role == "document":
        return load_document_encoder(model, max_length=max_length)
    raise InvalidInputError(f"role is {role!r}; want document or query")
