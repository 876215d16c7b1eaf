"""The HTTP interface: addresses and what answers them."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar, get_args

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Security
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from fastapi.security import HTTPBearer
from pydantic_core import to_json

from sparse_ir import __version__
from sparse_ir.corpus import Document
from sparse_ir.encoders.encoder import TextEncoder, weighted_terms
from sparse_ir.encoders.lookup import LookupEncoder
from sparse_ir.errors import (
    IndexLockedError,
    InvalidInputError,
    MissingDependencyError,
    SparseIRError,
)
from sparse_ir.hits import Hit
from sparse_ir.retrieval.highlights import is_tracer
from sparse_ir.retrieval.hybrid import HybridRetriever
from sparse_ir.retrieval.query_vectors import Mode
from sparse_ir.server import messages as m
from sparse_ir.server.batching import Batches, Kind
from sparse_ir.server.live_index import LiveIndex
from sparse_ir.server.metrics import CountRequests, Metrics
from sparse_ir.server.page import page, page_policy
from sparse_ir.server.protection import LOCAL_NAMES, Guard

MOST_BYTES = 16 * 2**20  # of a body
_PARALLEL_FROM = 100_000  # documents: fewer are searched sooner than a thread is started
_FEW_HITS = 100
_MOST_ERRORS = 10  # told of a request
_OPEN_PATHS = ("/", "/healthz", "/readyz", "/openapi.json")

_Answers = dict[int | str, dict[str, Any]]
_ERRORS: _Answers = {
    code: {"model": m.ErrorAnswer, "description": text}
    for code, text in {
        400: "Bad input that no schema can tell, such as a filter on an unknown field.",
        401: "No valid key.",
        403: "A page of another site asks, and there is no key.",
        413: "The body is too large.",
        415: "The body does not say that it is JSON.",
        421: "Unknown host name.",
        503: "Another writer has the index, or the server is stopping; try again.",
    }.items()
}
_UNKNOWN: _Answers = {404: {"model": m.ErrorAnswer, "description": "No such document."}}
_NO_NETWORK: _Answers = {
    501: {"model": m.ErrorAnswer, "description": "The extra models is not installed."}
}

_T = TypeVar("_T")


def create_app(
    live: LiveIndex,
    *,
    key: str | None = None,
    hosts: tuple[str, ...] | None = LOCAL_NAMES,
    most_bytes: int = MOST_BYTES,
) -> FastAPI:
    """An ASGI application that serves the index, and closes it at the end of its lifespan.

    Args:
        live: What is served.
        key: Needed by all that touches the index; None lets everyone in.
        hosts: Names by which requests may call this one; None, or a key, takes any.
        most_bytes: Of a body.
    """
    metrics, searchers = Metrics(live), ThreadPoolExecutor(os.cpu_count(), "sparse-ir-search")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(live.close)
        searchers.shutdown()

    app = FastAPI(
        title="sparse_ir",
        version=__version__,
        description="Learned sparse retrieval.",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.api = _Api(live, metrics, searchers)
    # For /openapi.json to say it: the key is checked by the Guard, before a body is read.
    scheme = [Security(HTTPBearer(auto_error=False))] if key else []
    app.include_router(_api, dependencies=scheme, responses=_ERRORS)  # first: tried in this order
    app.include_router(_pages)
    app.add_exception_handler(SparseIRError, _refusal)
    app.add_exception_handler(queue.Full, _refusal)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_middleware(
        Guard,
        key=key or None,
        open_paths=_OPEN_PATHS,
        hosts=None if key else hosts,
        most_bytes=most_bytes,
        headers={
            "content-security-policy": page_policy(),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cache-control": "no-store",
        },
    )
    app.add_middleware(CountRequests, metrics=metrics)
    return app


class _Api:
    """What the addresses below share."""

    def __init__(self, live: LiveIndex, metrics: Metrics, searchers: ThreadPoolExecutor) -> None:
        self.live = live
        self.metrics = metrics
        self._searchers = searchers
        self.batches = Batches(self._answers, searchers, self._is_quick)

    def search(
        self, retriever: HybridRetriever, kind: Kind, queries: Sequence[str]
    ) -> tuple[list[list[Hit]], float]:
        """(hits of each query, seconds)."""
        started = time.perf_counter()
        found = retriever.search(
            queries,
            kind.k,
            mode=kind.mode,
            filter=kind.filter,
            with_text=kind.with_text,
            threads=_threads(retriever),
        )
        seconds = time.perf_counter() - started
        mode = kind.mode or retriever.default_mode
        self.metrics.search_seconds.labels(mode).observe(seconds)
        self.metrics.searches.labels(mode).inc(len(queries))
        return found, seconds

    def _answers(self, kind: Kind, queries: Sequence[str]) -> list[bytes]:
        with self.live.snapshot() as retriever:
            found, seconds = self.search(retriever, kind, queries)
        return [to_json({"hits": hits, "seconds": seconds}) for hits in found]

    def _is_quick(self, kind: Kind) -> bool:
        """Whether a search takes well below a millisecond.

        No network, filter, passages, large index or long query.
        """
        with self.live.snapshot() as retriever:
            looked_up = isinstance(retriever.sparse.encoder, LookupEncoder)
            is_sparse = (kind.mode or retriever.default_mode) in get_args(Mode)
            is_small = len(retriever.index) < _PARALLEL_FROM and not retriever.index.has_passages
        is_little = kind.k <= _FEW_HITS and kind.filter is None and not kind.is_long
        return looked_up and is_sparse and is_small and is_little

    async def read(self, work: Callable[[HybridRetriever], _T], *, slowly: bool = False) -> _T:
        """What ``work`` makes of the present snapshot, on as many threads as there are cores.

        With ``slowly``, for what runs a network, on others, so that searches need not wait.
        """

        def on_snapshot() -> _T:
            with self.live.snapshot() as retriever:
                return work(retriever)

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None if slowly else self._searchers, on_snapshot)


async def _of(request: Request) -> _Api:  # async, for FastAPI calls others on a thread
    api: _Api = request.app.state.api
    return api


Api = Annotated[_Api, Depends(_of)]
_pages = APIRouter()
_api = APIRouter()


# search


@_api.post("/v1/search", response_model=m.SearchAnswer)
async def search(api: Api, asked: m.SearchRequest) -> Response:
    """The best documents of a query; the filter may be an object."""
    return await _search(api, asked)


@_api.get("/v1/search", response_model=m.SearchAnswer)
async def search_by_address(api: Api, asked: Annotated[m.FilteredParameters, Query()]) -> Response:
    """The best documents of a query."""
    return await _search(api, asked)


async def _search(api: _Api, asked: m.FilteredParameters | m.SearchRequest) -> Response:
    if asked.snippet or asked.explain:
        return _json(await api.read(lambda retriever: _described_answer(api, retriever, asked)))
    kind = Kind.of(asked.query, asked.k, asked.mode, asked.filter, asked.with_text)
    return _json(await api.batches.answer(asked.query, kind))


def _described_answer(
    api: _Api, retriever: HybridRetriever, asked: m.FilteredParameters | m.SearchRequest
) -> bytes:
    kind = Kind.of(asked.query, asked.k, asked.mode, asked.filter, asked.with_text)
    (found,), seconds = api.search(retriever, kind, [asked.query])
    answer: dict[str, Any] = {
        "hits": [_described(retriever, asked, hit) for hit in found],
        "seconds": seconds,
    }
    if asked.explain:
        answer["query_terms"] = retriever.query_terms(asked.query, asked.mode)
    return to_json(answer)


def _described(retriever: HybridRetriever, asked: m.SearchParameters, hit: Any) -> dict[str, Any]:
    fields = ("doc_id", "score", "title", "text", "metadata", "passage", "legs")
    described = {name: getattr(hit, name) for name in fields}
    if asked.snippet:
        described["snippet"] = retriever.snippet(asked.query, hit, asked.mode, length=asked.snippet)
    if asked.explain:
        described["explanation"] = retriever.explain(asked.query, hit.doc_id, asked.mode)
    return described


@_api.post("/v1/explain", response_model=m.ExplainAnswer, responses={**_UNKNOWN, **_NO_NETWORK})
async def explain(api: Api, asked: m.ExplainRequest) -> Response:
    """What each term adds to a document's score, and the terms of query and document."""

    def work(retriever: HybridRetriever) -> bytes:
        _require_known(retriever, asked.doc_id)
        matches = retriever.explain(asked.query, asked.doc_id, asked.mode)
        return to_json(
            {
                "doc_id": asked.doc_id,
                "score": sum(match.product for match in matches),
                "matches": matches,
                "query_terms": retriever.query_terms(asked.query, asked.mode),
                "document_terms": retriever.document_terms(asked.doc_id)[: asked.most],
                "highlights": _highlights(api.live, retriever, asked),
            }
        )

    return _json(await api.read(work, slowly=asked.trace))


def _highlights(live: LiveIndex, retriever: HybridRetriever, asked: m.ExplainRequest) -> Any:
    what = (asked.query, asked.doc_id, asked.mode)
    if not asked.trace:
        return retriever.highlights(*what)
    with live.document_encoder() as encoder:
        tracer = encoder if is_tracer(encoder) else None
        return retriever.highlights(*what, tracer=tracer)


@_api.post("/v1/encode", response_model=m.EncodeAnswer, responses=_NO_NETWORK)
async def encode(api: Api, asked: m.EncodeRequest) -> Response:
    """The weighted terms of texts, as the model reads documents or queries."""

    def work(retriever: HybridRetriever) -> bytes:
        if asked.role == "query":
            rows = [retriever.sparse.query_terms(text, "learned") for text in asked.texts]
            return to_json({"texts": rows})
        with api.live.document_encoder() as encoder:
            return to_json({"texts": [_terms(encoder, text) for text in asked.texts]})

    return _json(await api.read(work, slowly=True))


def _terms(encoder: TextEncoder, text: str) -> list[dict[str, Any]]:
    names = ("term", "weight", "is_expansion")
    return [
        {"block": "learned", **dict(zip(names, one, strict=True))}
        for one in weighted_terms(encoder, text)
    ]


# documents


@_api.post("/v1/documents", response_model=m.AddAnswer, responses=_NO_NETWORK)
async def add(api: Api, asked: m.AddRequest) -> Response:
    """Adds documents, or replaces those with the same doc_id; answers when they can be found."""
    documents = [Document(d.doc_id, d.text, d.title, d.metadata) for d in asked.documents]
    for document in documents:
        if not document.content:
            raise InvalidInputError(f"document {document.doc_id!r} has no title or text; want one")
    return _json(to_json({"committed": await asyncio.wrap_future(api.live.add(documents))}))


@_api.get("/v1/documents/{doc_id:path}", response_model=m.StoredDocument, responses=_UNKNOWN)
async def document(api: Api, doc_id: m.DocId) -> Response:
    """A document as it was added."""

    def work(retriever: HybridRetriever) -> bytes:
        _require_known(retriever, doc_id)
        return to_json(retriever.document(doc_id))

    return _json(await api.read(work))


@_api.delete(
    "/v1/documents/{doc_id:path}",
    response_model=m.DeleteAnswer,
    responses=_UNKNOWN,
)
async def delete(api: Api, doc_id: m.DocId) -> Response:
    """Deletes a document; answers when no search finds it any more."""
    deleted = await asyncio.wrap_future(api.live.delete([doc_id]))
    if not deleted:
        raise HTTPException(404, f"no document {doc_id!r}")
    return _json(to_json({"deleted": deleted}))


@_api.get("/v1/info", response_model=m.InfoAnswer)
async def info(api: Api) -> Response:
    """What is in the index, and how it may be searched."""

    def work(retriever: HybridRetriever) -> bytes:
        settings = retriever.index.settings
        return to_json(
            {
                "documents": len(retriever.index),
                "modes": retriever.modes,
                "fields": retriever.index.fields(),
                "model": settings["model"],
                "language": settings["language"],
                "version": __version__,
            }
        )

    return _json(await api.read(work))


@_api.get("/metrics", response_class=PlainTextResponse)
async def metrics(api: Api) -> Response:
    """Numbers for Prometheus."""
    return PlainTextResponse(api.metrics.text())


# for everyone


@_pages.get("/", response_class=HTMLResponse, include_in_schema=False)
async def search_page() -> Response:
    """The page; it holds nothing of the index."""
    return HTMLResponse(page())


@_pages.get("/healthz", response_model=m.StatusAnswer)
async def healthz() -> Response:
    """The process is alive."""
    return _json(b'{"status":"ok"}')


@_pages.get("/readyz", response_model=m.StatusAnswer, responses={503: {"model": m.StatusAnswer}})
async def readyz(api: Api) -> Response:
    """The index is open for searches and changes."""
    if api.live.is_closed:
        return JSONResponse({"status": "closing"}, 503)
    return _json(b'{"status":"ready"}')


# answers


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")


def _threads(retriever: HybridRetriever) -> int:
    return (os.cpu_count() or 1) if len(retriever.index) >= _PARALLEL_FROM else 1


def _require_known(retriever: HybridRetriever, doc_id: str) -> None:
    if doc_id not in retriever.index:
        raise HTTPException(404, f"no document {doc_id!r}")


def _refusal(request: Request, error: Exception) -> Response:
    if isinstance(error, queue.Full):
        error = IndexLockedError("too many changes wait to be written; try again later")
    kinds = {InvalidInputError: 400, MissingDependencyError: 501, IndexLockedError: 503}
    status = next((code for kind, code in kinds.items() if isinstance(error, kind)), 500)
    if request.app.state.api.live.is_closed:
        status = 503
    headers = {"retry-after": "1"} if status == 503 else None
    text = json.dumps({"detail": str(error)})
    return Response(text, status, headers, media_type="application/json")


def _invalid(request: Request, error: Any) -> Response:
    """As FastAPI's own, but what came is not sent back: it may be large, or no text at all."""
    errors, wanted = error.errors(), ("loc", "msg", "type")
    detail = [{name: one[name] for name in wanted} for one in errors[:_MOST_ERRORS]]
    if n_more := len(errors) - len(detail):
        message = f"{n_more} more errors, which are not told"
        detail.append({"loc": errors[0]["loc"][:1], "msg": message, "type": "more_errors"})
    text = json.dumps({"detail": detail})  # all ASCII, so halves of surrogate pairs do no harm
    return Response(text, 422, media_type="application/json")
