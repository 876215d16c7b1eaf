"""What the adapters of RAG frameworks share: a query to any retriever, and hits in plain words."""

from __future__ import annotations

import asyncio
from inspect import signature
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
    """The k best documents of the query.

    Raises:
        InvalidInputError: ``k`` < 1, a bad mode or filter, or any where the retriever knows none.
    """
    if k < 1:
        raise InvalidInputError(f"k is {k}; want an integer >= 1")
    options: dict[str, Any] = {"mode": mode, "filter": filter}
    given = {name: value for name, value in options.items() if value is not None}
    try:
        signature(retriever.search).bind([query], k, **given)
    except TypeError as error:
        raise InvalidInputError(
            f"{type(retriever).__name__}.search: {error}; want a retriever that knows it, or None"
        ) from None
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
    """The document's metadata, and ``doc_id``, ``score``, ``title``, ``passage`` and ``span``.

    These take the place of metadata of the same names.
    """
    found: dict[str, Any] = {**hit.metadata, "doc_id": hit.doc_id, "score": hit.score}
    if hit.title:
        found["title"] = hit.title
    return found | place_of(hit)


def place_of(hit: Hit) -> dict[str, Any]:
    """Number (``passage``) and characters (``span``) of the passage that matched, if one did."""
    if hit.passage is None:
        return {}
    return {"passage": hit.passage.number, "span": [hit.passage.start, hit.passage.end]}
