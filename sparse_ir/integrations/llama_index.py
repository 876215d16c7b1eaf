"""LlamaIndex: our search as a retriever, and our encoders as sparse embeddings.

retriever = SparseIRRetriever(SparseRetriever.open("index"), similarity_top_k=4)
RetrieverQueryEngine.from_args(retriever, llm=llm).query("question")
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from sparse_ir.encoders.encoder import Encoder, load_encoder
from sparse_ir.errors import InvalidInputError, MissingDependencyError
from sparse_ir.hits import Hit
from sparse_ir.index.conditions import ORDERS, And, Comparison, Condition, Not, Or
from sparse_ir.index.dates import parse_date
from sparse_ir.index.filters import Filter
from sparse_ir.integrations.asking import ask, ask_async, metadata_of, text_of
from sparse_ir.retrieval.retriever import Retriever
from sparse_ir.vectors import to_mappings

try:
    from llama_index.core.base.embeddings.base_sparse import BaseSparseEmbedding
    from llama_index.core.bridge.pydantic import PrivateAttr
    from llama_index.core.callbacks import CallbackManager
    from llama_index.core.retrievers import BaseRetriever
    from llama_index.core.schema import (
        NodeRelationship,
        NodeWithScore,
        QueryBundle,
        RelatedNodeInfo,
        TextNode,
    )
    from llama_index.core.vector_stores import (
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
    )
except ImportError:
    raise MissingDependencyError(
        "llama-index-core", extra="llama-index", purpose="a LlamaIndex retriever"
    ) from None

_NOT_FOR_MODELS = ["doc_id", "score", "passage", "span"]


class SparseIRRetriever(BaseRetriever):
    """Finds nodes; their metadata are the document's, with ``doc_id`` and ``score``.

    These, and ``title``, ``passage`` and ``span`` where there are any, take the place of the
    document's own metadata of the same names.

    Args:
        retriever: An open ``SparseRetriever``, or any other ``Retriever``.
        similarity_top_k: Nodes wanted, >= 1.
        mode: One of the retriever's, as ``lexical``; None is what it does by itself.
        filters: Only documents whose metadata match: ``MetadataFilters``, or a filter of ours.
        callback_manager: LlamaIndex's.

    Raises:
        InvalidInputError: ``filters`` ask for what there is not: text matched in any case.
    """

    def __init__(
        self,
        retriever: Retriever,
        *,
        similarity_top_k: int = 10,
        mode: str | None = None,
        filters: MetadataFilters | Filter | None = None,
        callback_manager: CallbackManager | None = None,
    ) -> None:
        super().__init__(callback_manager=callback_manager)
        self._retriever = retriever
        self._options: dict[str, Any] = {
            "k": similarity_top_k,
            "mode": mode,
            "filter": condition_of(filters) if isinstance(filters, MetadataFilters) else filters,
        }

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(ask(self._retriever, query_bundle.query_str, **self._options))

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return _nodes(await ask_async(self._retriever, query_bundle.query_str, **self._options))


class SparseIREmbedding(BaseSparseEmbedding):
    """Learned term weights: texts by the document encoder, queries by the query encoder.

    Args:
        model_name: A model that ships with the package, a model folder, or a hub name.
        embed_batch_size: Texts encoded at once, 1..2048.
    """

    _documents: Encoder = PrivateAttr()
    _queries: Encoder = PrivateAttr()

    def __init__(self, model_name: str = "mini", *, embed_batch_size: int = 32) -> None:
        super().__init__(model_name=model_name, embed_batch_size=embed_batch_size)
        self._documents = load_encoder(model_name, "document")
        self._queries = load_encoder(model_name, "query")

    @classmethod
    def class_name(cls) -> str:
        """The name under which LlamaIndex keeps it."""
        return "SparseIREmbedding"

    def _get_query_embedding(self, query: str) -> dict[int, float]:
        return to_mappings(self._queries.encode([query]))[0]

    async def _aget_query_embedding(self, query: str) -> dict[int, float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> dict[int, float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> dict[int, float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return to_mappings(self._documents.encode(texts, batch_size=self.embed_batch_size))

    async def _aget_text_embeddings(self, texts: list[str]) -> list[dict[int, float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)


def condition_of(filters: MetadataFilters) -> Condition:
    """The condition that the filters say; strings that are ISO 8601 dates are ordered as dates.

    Raises:
        InvalidInputError: an operator that we do not have, or a value that one does not take.
    """
    parts = tuple(
        condition_of(one) if isinstance(one, MetadataFilters) else _comparison(one)
        for one in filters.filters
    )
    if filters.condition == FilterCondition.NOT:
        return Not(Or(parts))
    return Or(parts) if filters.condition == FilterCondition.OR else And(parts)


def _comparison(one: MetadataFilter) -> Condition:
    field, operator, value = one.key, one.operator, one.value
    if operator == FilterOperator.IS_EMPTY:
        nothing: list[Any] = [None, "", []]
        return Or(tuple(Comparison(field, "==", one) for one in nothing))
    if operator in (FilterOperator.ANY, FilterOperator.ALL):
        values: Sequence[Any] = value if isinstance(value, list) else [value]
        members = tuple(Comparison(field, "contains", member) for member in values)
        return Or(members) if operator == FilterOperator.ANY else And(members)
    if operator not in _OPERATORS:
        known = ", ".join(sorted([*_OPERATORS, "any", "all", "is_empty"]))
        raise InvalidInputError(f"filter operator is {operator.value!r}; want one of {known}")
    ours: Any = _OPERATORS[operator]
    if ours in ORDERS and isinstance(value, str) and (date := parse_date(value)):
        return Comparison(field, ours, date)
    return Comparison(field, ours, value)


_OPERATORS: Mapping[str, str] = {
    **{operator: operator for operator in ("==", "!=", "<", "<=", ">", ">=", "in")},
    "nin": "not in",
    "contains": "contains",
    "text_match": "contains",
}


def _nodes(hits: list[Hit]) -> list[NodeWithScore]:
    return [NodeWithScore(node=_node(hit), score=hit.score) for hit in hits]


def _node(hit: Hit) -> TextNode:
    return TextNode(
        id_=hit.doc_id,
        text=text_of(hit),
        metadata=metadata_of(hit),
        excluded_llm_metadata_keys=list(_NOT_FOR_MODELS),
        excluded_embed_metadata_keys=list(_NOT_FOR_MODELS),
        relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=hit.doc_id)},
        start_char_idx=hit.passage.start if hit.passage else None,
        end_char_idx=hit.passage.end if hit.passage else None,
    )
