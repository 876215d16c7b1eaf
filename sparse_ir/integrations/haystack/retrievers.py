"""Haystack's retrievers of a ``SparseIRDocumentStore``: by text, by sparse embedding, hybrid."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict
from haystack.components.joiners import DocumentJoiner
from haystack.dataclasses import SparseEmbedding
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from sparse_ir.errors import InvalidInputError
from sparse_ir.integrations.haystack.document_store import Filters, SparseIRDocumentStore
from sparse_ir.retrieval.query_vectors import Mode


class _Retriever:
    """What the three have in common: a store, filters and ``top_k``, and how they are kept."""

    def __init__(
        self,
        document_store: SparseIRDocumentStore,
        *,
        filters: Filters = None,
        top_k: int = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        if not isinstance(document_store, SparseIRDocumentStore):
            raise InvalidInputError(
                f"document_store is {document_store!r}; want a SparseIRDocumentStore"
            )
        self.document_store = document_store
        self.filters = filters
        self.top_k = _checked(top_k)
        self.filter_policy = (
            FilterPolicy.from_str(filter_policy)
            if isinstance(filter_policy, str)
            else filter_policy
        )

    def to_dict(self) -> dict[str, Any]:
        """The arguments it was made with, as Haystack keeps pipelines."""
        return dict(default_to_dict(self, **self._arguments()))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """The retriever that ``to_dict`` describes."""
        parameters = data["init_parameters"]
        store = parameters["document_store"]
        if isinstance(store, dict):
            parameters["document_store"] = SparseIRDocumentStore.from_dict(store)
        return default_from_dict(cls, data)

    def _arguments(self) -> dict[str, Any]:
        return {
            "document_store": self.document_store.to_dict(),
            "filters": self.filters,
            "top_k": self.top_k,
            "filter_policy": self.filter_policy.value,
        }

    def _options(self, filters: Filters, top_k: int | None) -> dict[str, Any]:
        return {
            "filters": apply_filter_policy(self.filter_policy, self.filters, filters),
            "top_k": self.top_k if top_k is None else _checked(top_k),
        }


@component
class SparseIRRetriever(_Retriever):
    """Finds documents for a text: by words and learned terms, in one pass.

    Args:
        document_store: To search.
        filters: Only documents that match.
        top_k: Documents wanted, >= 1.
        filter_policy: Whether filters given to ``run`` replace these or join them.
        mode: ``anchored``, ``learned`` or ``lexical``.
    """

    def __init__(
        self,
        document_store: SparseIRDocumentStore,
        *,
        filters: Filters = None,
        top_k: int = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        mode: Mode = "anchored",
    ) -> None:
        _Retriever.__init__(  # not super(): the decorator makes another class of this one
            self, document_store, filters=filters, top_k=top_k, filter_policy=filter_policy
        )
        self.mode: Mode = mode

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """The best documents with their scores, best first."""
        options = self._options(filters, top_k)
        return {"documents": self.document_store.search(query, mode=self.mode, **options)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """As ``run``, on a thread."""
        return await asyncio.to_thread(self.run, query, filters, top_k)

    def _arguments(self) -> dict[str, Any]:
        return {**_Retriever._arguments(self), "mode": self.mode}


@component
class SparseIREmbeddingRetriever(_Retriever):
    """Finds documents for a sparse embedding, as ``SparseIRTextEmbedder`` makes it.

    Args:
        document_store: To search.
        filters: Only documents that match.
        top_k: Documents wanted, >= 1.
        filter_policy: Whether filters given to ``run`` replace these or join them.
    """

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_sparse_embedding: SparseEmbedding,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """The best documents with their scores, best first."""
        options = self._options(filters, top_k)
        return {"documents": self.document_store.search_sparse(query_sparse_embedding, **options)}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_sparse_embedding: SparseEmbedding,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """As ``run``, on a thread."""
        return await asyncio.to_thread(self.run, query_sparse_embedding, filters, top_k)


@component
class SparseIRHybridRetriever(_Retriever):
    """Finds documents for a text and its dense embedding; ranks are fused by reciprocal rank.

    The documents' embeddings are those that they were written with.

    Args:
        document_store: To search.
        filters: Only documents that match.
        top_k: Documents wanted, >= 1.
        filter_policy: Whether filters given to ``run`` replace these or join them.
        dense_weight: Of the dense ranks, 0..1; the sparse ones have the rest.
        depth: Documents that each side gives, >= 1.
    """

    def __init__(
        self,
        document_store: SparseIRDocumentStore,
        *,
        filters: Filters = None,
        top_k: int = 10,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        dense_weight: float = 0.5,
        depth: int = 100,
    ) -> None:
        _Retriever.__init__(  # not super(): the decorator makes another class of this one
            self, document_store, filters=filters, top_k=top_k, filter_policy=filter_policy
        )
        if not 0 <= dense_weight <= 1:
            raise InvalidInputError(f"dense_weight is {dense_weight}; want 0..1")
        self.dense_weight = dense_weight
        self.depth = _checked(depth)
        self._joiner = DocumentJoiner(
            join_mode="reciprocal_rank_fusion", weights=[1 - dense_weight, dense_weight]
        )

    @component.output_types(documents=list[Document])
    def run(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """The best documents with their fused scores, best first."""
        options = self._options(filters, top_k)
        wanted = options.pop("top_k")
        depth = {"top_k": max(self.depth, wanted), **options}
        sparse = self.document_store.search(query, **depth)
        dense = self.document_store.search_dense(query_embedding, **depth)
        fused = self._joiner.run([sparse, dense], top_k=wanted)["documents"]
        passages = {one.id: one for one in sparse}  # the dense leg knows whole documents alone
        return {"documents": [replace(passages.get(d.id, d), score=d.score) for d in fused]}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query: str,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
    ) -> dict[str, list[Document]]:
        """As ``run``, on a thread."""
        return await asyncio.to_thread(self.run, query, query_embedding, filters, top_k)

    def _arguments(self) -> dict[str, Any]:
        own = {"dense_weight": self.dense_weight, "depth": self.depth}
        return {**_Retriever._arguments(self), **own}


def _checked(top_k: int) -> int:
    if top_k < 1:
        raise InvalidInputError(f"top_k is {top_k}; want an integer >= 1")
    return top_k
