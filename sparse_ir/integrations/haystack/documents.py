"""Haystack's documents as ours, and whether a store can keep them."""

from __future__ import annotations

from haystack import Document

from sparse_ir import corpus
from sparse_ir.errors import InvalidInputError
from sparse_ir.integrations.haystack.arrays import dense_vector


def as_ours(document: Document) -> corpus.Document:
    """The document as it is indexed: ``title`` in its ``meta`` is its title, and stays there."""
    title = document.meta.get("title")
    return corpus.Document(
        document.id,
        document.content or "",
        title if isinstance(title, str) else "",
        document.meta,
    )


def require_storable(document: Document) -> None:
    """Nothing of the document will be refused when others are written already.

    Raises:
        InvalidInputError: id, content or ``meta`` are not JSON, or the embedding is not finite.
    """
    texts = {"id": document.id, "content": document.content}
    if why := corpus.not_json(document.meta) or corpus.not_json(texts):
        raise InvalidInputError(
            f"document {document.id!r} is not JSON: {why}; want whole characters and plain values"
        )
    if document.embedding is not None:
        dense_vector(f"the embedding of {document.id!r}", document.embedding)
