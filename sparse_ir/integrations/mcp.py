"""MCP: an index as three tools for language models (Model Context Protocol).

make_server(HybridRetriever.open("index")).run("stdio")
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import sparse_ir
from sparse_ir.errors import MissingDependencyError, SparseIRError
from sparse_ir.hits import Hit
from sparse_ir.integrations.asking import ask, text_of
from sparse_ir.retrieval.highlights import TermMatch, cut_snippet
from sparse_ir.retrieval.hybrid import HybridMode, HybridRetriever
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.retrieval.snapshots import Snapshots

try:
    from mcp.server import MCPServer
    from mcp.server.mcpserver.exceptions import ToolError
    from mcp.types import ToolAnnotations
    from pydantic import Field
except ImportError:
    raise MissingDependencyError("mcp>=2", extra="mcp", purpose="an MCP server") from None

_MOST_HITS = 100
_MOST_CHARACTERS = 2000  # of a hit's text: a model reads ten of them
_INSTRUCTIONS = """Search of one collection of documents, by words and by meaning. Search first; \
read a document whole with get_document; explain says why a document was found."""

Query = Annotated[str, Field(description="What is looked for, in words.", max_length=10_000)]
Hits = Annotated[int, Field(description="Passages wanted.", ge=1, le=_MOST_HITS)]
Filter = Annotated[
    str | None,
    Field(
        description="Only documents whose metadata match, as: year >= 2020 and lang in ('en', "
        "'de') and tags contains 'news' and date < 2024-06-01 and author != null"
    ),
]
DocId = Annotated[str, Field(description="The doc_id of a hit.")]


@dataclass
class Found:
    """A passage that was found; ``text`` ends in ``...`` where it was cut."""

    doc_id: str
    score: float
    title: str
    text: str
    metadata: dict[str, Any]


@dataclass
class Whole:
    """A document."""

    doc_id: str
    title: str
    text: str
    metadata: dict[str, Any]


def make_server(retriever: HybridRetriever) -> MCPServer[Any]:
    """A server whose tools search the retriever's index, as last committed, and change nothing.

    The retriever is the server's from now on: each call closes it and opens the index anew.
    """
    tools = _Tools(retriever)
    n_docs, fields = len(retriever.index), retriever.index.info()["fields"]
    known = f"{n_docs} documents; metadata fields: {', '.join(fields) or 'none'}."
    server: MCPServer[Any] = MCPServer(
        "sparse_ir",
        instructions=f"{_INSTRUCTIONS} {known}",
        version=sparse_ir.__version__,
        log_level="WARNING",
    )
    for tool in (tools.search, tools.get_document, tools.explain):
        server.tool(annotations=ToolAnnotations(read_only_hint=True))(tool)
    return server


class _Tools:
    """Their docstrings are what a model reads."""

    def __init__(self, retriever: HybridRetriever) -> None:
        self._snapshots = Snapshots(retriever)
        self._lock = threading.Lock()  # what is opened last must be the last commit

    def search(
        self, query: Query, k: Hits = 5, filter: Filter = None, mode: HybridMode | None = None
    ) -> list[Found]:
        """Find the passages that answer a query best, best first.

        mode: null is best; lexical = words only (BM25), learned = meaning, anchored = both; where
        there are dense vectors: dense = by these alone, hybrid = anchored and dense.
        """
        with self._snapshot() as retriever:
            hits = ask(retriever, query, k, mode=mode, filter=filter)
        return [_found(hit) for hit in hits]

    def get_document(self, doc_id: DocId) -> Whole:
        """Read a document whole."""
        with self._snapshot() as retriever:
            one = retriever.document(doc_id)
        return Whole(one.doc_id, one.title, one.text, dict(one.metadata))

    def explain(self, query: Query, doc_id: DocId, mode: Mode = "anchored") -> list[TermMatch]:
        """Say why a query finds a document: what each matching term adds to its score, most first.

        is_expansion: the document does not contain the term; the model read it between the lines.
        """
        with self._snapshot() as retriever:
            return retriever.explain(query, doc_id, mode)

    @contextmanager
    def _snapshot(self) -> Iterator[HybridRetriever]:
        """The index as last committed: an assistant runs for days, and opening takes no time.

        What we refuse is told to the model, which can do better, not logged as our fault.
        """
        try:
            with self._lock, self._snapshots.use() as before:
                self._snapshots.replace(before.reopened())
            with self._snapshots.use() as retriever:
                yield retriever
        except SparseIRError as error:
            raise ToolError(str(error)) from error


def _found(hit: Hit) -> Found:
    text = text_of(hit)
    if len(text) > _MOST_CHARACTERS:
        text = cut_snippet(text, (), length=_MOST_CHARACTERS).text + " ..."
    return Found(hit.doc_id, hit.score, hit.title, text, dict(hit.metadata))
