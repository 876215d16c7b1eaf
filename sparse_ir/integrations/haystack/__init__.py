"""Haystack: a document store on one of our indexes, its retrievers, and our encoders as embedders.

store = SparseIRDocumentStore("index")
store.write_documents(documents)
pipeline.add_component("retriever", SparseIRRetriever(store, top_k=5))
"""

from __future__ import annotations

from sparse_ir.errors import MissingDependencyError

try:
    import haystack  # noqa: F401
except ImportError:
    raise MissingDependencyError(
        "haystack-ai", extra="haystack", purpose="a Haystack document store"
    ) from None

from sparse_ir.integrations.haystack.document_store import SparseIRDocumentStore
from sparse_ir.integrations.haystack.embedders import (
    SparseIRDocumentEmbedder,
    SparseIRTextEmbedder,
)
from sparse_ir.integrations.haystack.retrievers import (
    SparseIREmbeddingRetriever,
    SparseIRHybridRetriever,
    SparseIRRetriever,
)

__all__ = [
    "SparseIRDocumentEmbedder",
    "SparseIRDocumentStore",
    "SparseIREmbeddingRetriever",
    "SparseIRHybridRetriever",
    "SparseIRRetriever",
    "SparseIRTextEmbedder",
]
