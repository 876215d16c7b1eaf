"""LangChain's Qdrant store: our encoders as its sparse embeddings.

QdrantVectorStore.from_texts(
    texts, sparse_embedding=SparseIREmbeddings(), retrieval_mode=RetrievalMode.SPARSE
)
"""

from __future__ import annotations

from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.errors import MissingDependencyError
from sparse_ir.vectors import TermWeights, to_mappings

try:
    from langchain_qdrant import SparseEmbeddings, SparseVector
except ImportError:
    raise MissingDependencyError(
        "langchain-qdrant", extra="langchain-qdrant", purpose="sparse embeddings for Qdrant"
    ) from None


class SparseIREmbeddings(SparseEmbeddings):
    """Learned term weights: texts by the document encoder, queries by the query encoder.

    Args:
        model: A model that ships with the package, a model folder, or a hub name.
        batch_size: Texts encoded at once, >= 1.
    """

    def __init__(self, model: str = "mini", *, batch_size: int = 32) -> None:
        self._documents: Encoder = load_encoder(model, "document")
        self._queries: Encoder = load_encoder(model, "query")
        self._batch_size = batch_size

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """The term weights of each text."""
        return _sparse_vectors(self._documents.encode(texts, batch_size=self._batch_size))

    def embed_query(self, text: str) -> SparseVector:
        """The term weights of the query."""
        return _sparse_vectors(self._queries.encode([text]))[0]


def _sparse_vectors(weights: TermWeights) -> list[SparseVector]:
    return [
        SparseVector(indices=list(row), values=list(row.values())) for row in to_mappings(weights)
    ]
