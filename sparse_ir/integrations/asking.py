"""What the adapters of RAG frameworks share: a query to any retriever, and hits in plain words."""

from __future__ import annotations

import asyncio
from typing import Any

from sparse_ir.errors import InvalidInputError
from sparse_ir.hits import Hit
from sparse_ir.index.filters import Filter
from sparse_ir.retrieval.retriever import Retriever


def ask(
    retriever: Retriever,
    query: str,
    k: int,
    *,
    mode: str | None = None,
    filter: Filter | None = None,
) -> list[Hit]:
    """The k best documents of the query; a retriever that knows no modes or filters is asked none.

    Raises:
        InvalidInputError: ``k`` < 1, or a bad mode or filter.
    """
    if k < 1:
        raise InvalidInputError(f"k is {k}; want an integer >= 1")
    options: dict[str, Any] = {"mode": mode, "filter": filter}
    given = {name: value for name, value in options.items() if value is not None}
    (hits,) = retriever.search([query], k, **given)
    return hits


async def ask_async(
    retriever: Retriever,
    query: str,
    k: int,
    *,
    mode: str | None = None,
    filter: Filter | None = None,
) -> list[Hit]:
    """As ``ask``, on a thread: scoring holds no lock of Python's, so the event loop goes on."""
    return await asyncio.to_thread(ask, retriever, query, k, mode=mode, filter=filter)


def text_of(hit: Hit) -> str:
    """What a language model should read: the passage that matched, else the whole document."""
    return hit.passage.text if hit.passage else hit.text or hit.title


def metadata_of(hit: Hit) -> dict[str, Any]:
    """The document's metadata, and ``doc_id``, ``score``, ``title``, and where its passage is."""
    found: dict[str, Any] = {**hit.metadata, "doc_id": hit.doc_id, "score": hit.score}
    if hit.title:
        found["title"] = hit.title
    if hit.passage:
        found |= {"passage": hit.passage.number, "span": [hit.passage.start, hit.passage.end]}
    return found
