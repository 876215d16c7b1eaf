"""LangChain: our search as a retriever.

retriever = SparseIRRetriever(retriever=SparseRetriever.open("index"), k=4)
chain = {"context": retriever, "question": RunnablePassthrough()} | prompt | model
"""

from __future__ import annotations

from typing import Any

from sparse_ir.errors import MissingDependencyError
from sparse_ir.hits import Hit
from sparse_ir.integrations.asking import ask, ask_async, metadata_of, text_of

try:
    from langchain_core.callbacks import (
        AsyncCallbackManagerForRetrieverRun,
        CallbackManagerForRetrieverRun,
    )
    from langchain_core.documents import Document
    from langchain_core.retrievers import BaseRetriever
except ImportError:
    raise MissingDependencyError(
        "langchain-core", extra="langchain", purpose="a LangChain retriever"
    ) from None


class SparseIRRetriever(BaseRetriever):
    """Finds passages; ``invoke``, ``ainvoke`` and their kin take ``k`` and ``filter`` too.

    A passage's metadata are its document's, with ``doc_id``, ``score`` and perhaps ``title``; of a
    document that was cut into passages also ``passage`` (its number) and ``span`` (characters).
    They take the place of the document's own metadata of these names.
    """

    retriever: Any
    """An open ``SparseRetriever``, or any other ``Retriever``."""
    k: int = 10
    """Passages wanted, >= 1."""
    mode: str | None = None
    """One of the retriever's, as ``lexical``; None is what it does by itself."""
    filter: Any = None
    """Only documents whose metadata match: ``"year >= 2020"`` or ``{"year": 2020}``."""

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Any = None,
    ) -> list[Document]:
        return _documents(ask(self.retriever, query, **self._options(k, filter)))

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        filter: Any = None,
    ) -> list[Document]:
        return _documents(await ask_async(self.retriever, query, **self._options(k, filter)))

    def _options(self, k: int | None, filter: Any) -> dict[str, Any]:
        return {
            "k": self.k if k is None else k,
            "mode": self.mode,
            "filter": self.filter if filter is None else filter,
        }


def _documents(hits: list[Hit]) -> list[Document]:
    return [
        Document(id=hit.doc_id, page_content=text_of(hit), metadata=metadata_of(hit))
        for hit in hits
    ]
