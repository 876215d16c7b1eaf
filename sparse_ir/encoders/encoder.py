"""Encoder: anything that turns text into term weights; and how to get one by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sparse_ir.encoders.checkpoint import load_document_encoder, load_query_encoder
from sparse_ir.encoders.lookup import TermSpan
from sparse_ir.encoders.options import EncoderOptions, Precision
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


class TextEncoder(Encoder, Protocol):
    """An encoder that is a model's, and knows its tokens."""

    def own_terms(self, text: str) -> set[int]:
        """The terms that the text contains; the others that it encodes are expansions."""
        ...

    def term_spans(self, text: str) -> list[TermSpan]:
        """Which terms the text contains, and the words that they are parts of."""
        ...


@runtime_checkable
class OnePassEncoder(Protocol):
    """An encoder that gives a dense vector with the term weights, from one pass of its network."""

    def encode_both(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 32,
        on_progress: Callable[[int], None] | None = None,
    ) -> tuple[TermWeights, NDArray[np.float32]]:
        """(n, len(vocabulary)) term weights and (n, dimension) vectors."""
        ...


def load_encoder(
    model: str = "mini",
    role: Literal["document", "query"] = "document",
    *,
    max_length: int | None = None,
    top_terms: int | None = None,
    prune_ratio: float | None = None,
    device: str = "auto",
    precision: Precision = "auto",
) -> TextEncoder:
    """The document or query encoder of a model.

    Args:
        model: A model that ships with the package (``mini``); a folder in our layout, that of
            sentence-transformers or OpenSearch, or with a masked language model in it; or the name
            of such a model on the Hugging Face hub.
        role: Queries of our models and of inference-free ones need no network.
        max_length: Tokens of a text that are read; None takes the model's own limit.
        top_terms: Terms kept of a text, the greatest; None keeps what the model keeps.
        prune_ratio: Terms below this share of the text's greatest weight are dropped; 0..1; None
            takes the model's.
        device: ``auto`` (a GPU if there is one), or a name of torch: ``cpu``, ``cuda:1``, ``mps``.
        precision: ``float32`` gives the numbers of the model's home library; ``auto`` takes
            ``bfloat16`` where the processor multiplies it faster.

    Raises:
        InvalidInputError: no such model, its files do not fit together, or a bad argument.
        MissingDependencyError: a network is needed and the extra ``models`` is not installed.
    """
    options = EncoderOptions(max_length, top_terms, prune_ratio, device, precision)
    if role == "query":
        return load_query_encoder(model, options)
    if role == "document":
        return load_document_encoder(model, options)
    raise InvalidInputError(f"role is {role!r}; want document or query")


def weighted_terms(encoder: TextEncoder, text: str) -> list[tuple[str, float, bool]]:
    """(term, weight, whether the text does not contain it) of a text, the greatest first.

    Raises:
        InvalidInputError: as ``lookup.require_texts``.
    """
    row, own = encoder.encode([text]), encoder.own_terms(text)
    weighted = zip(row.indices.tolist(), row.data.tolist(), strict=True)
    greatest = sorted(weighted, key=lambda one: (-one[1], one[0]))
    return [(encoder.vocabulary[term], weight, term not in own) for term, weight in greatest]
