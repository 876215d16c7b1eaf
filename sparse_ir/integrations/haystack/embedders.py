"""Our encoders as Haystack's sparse embedders, of queries and of documents."""

from __future__ import annotations

import dataclasses
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.dataclasses import SparseEmbedding

from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.errors import InvalidInputError
from sparse_ir.integrations.haystack.documents import as_ours
from sparse_ir.vectors import TermWeights, to_mappings


@component
class SparseIRTextEmbedder:
    """The learned term weights of a query.

    Args:
        model: A model that ships with the package, a model folder, or a hub name.
    """

    def __init__(self, model: str = "mini") -> None:
        self.model = model
        self._encoder: Encoder | None = None

    def warm_up(self) -> None:
        """The encoder is loaded."""
        if self._encoder is None:
            self._encoder = load_encoder(self.model, "query")

    @component.output_types(sparse_embedding=SparseEmbedding)
    def run(self, text: str) -> dict[str, SparseEmbedding]:
        """The embedding of the text."""
        if not isinstance(text, str):
            raise InvalidInputError(
                "SparseIRTextEmbedder got something else; want a string "
                "(SparseIRDocumentEmbedder takes documents)"
            )
        self.warm_up()
        assert self._encoder is not None
        return {"sparse_embedding": _embeddings(self._encoder.encode([text]))[0]}

    def to_dict(self) -> dict[str, Any]:
        """The arguments it was made with, as Haystack keeps pipelines."""
        return dict(default_to_dict(self, model=self.model))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """The embedder that ``to_dict`` describes."""
        return default_from_dict(cls, data)


@component
class SparseIRDocumentEmbedder:
    """Documents with their learned term weights as ``sparse_embedding``: of title and content.

    Args:
        model: A model that ships with the package, a model folder, or a hub name.
        batch_size: Documents encoded at once, >= 1.
    """

    def __init__(self, model: str = "mini", *, batch_size: int = 32) -> None:
        self.model = model
        self.batch_size = batch_size
        self._encoder: Encoder | None = None

    def warm_up(self) -> None:
        """The encoder is loaded."""
        if self._encoder is None:
            self._encoder = load_encoder(self.model, "document")

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        """The documents, each with its embedding; what was given stays as it is."""
        if not isinstance(documents, list) or not all(isinstance(d, Document) for d in documents):
            raise InvalidInputError(
                "SparseIRDocumentEmbedder got something else; want a list of Documents "
                "(SparseIRTextEmbedder takes a string)"
            )
        self.warm_up()
        assert self._encoder is not None
        texts = [as_ours(document).content for document in documents]
        embeddings = _embeddings(self._encoder.encode(texts, batch_size=self.batch_size))
        return {
            "documents": [
                dataclasses.replace(document, sparse_embedding=embedding)
                for document, embedding in zip(documents, embeddings, strict=True)
            ]
        }

    def to_dict(self) -> dict[str, Any]:
        """The arguments it was made with, as Haystack keeps pipelines."""
        return dict(default_to_dict(self, model=self.model, batch_size=self.batch_size))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """The embedder that ``to_dict`` describes."""
        return default_from_dict(cls, data)


def _embeddings(weights: TermWeights) -> list[SparseEmbedding]:
    return [SparseEmbedding(list(row), list(row.values())) for row in to_mappings(weights)]
