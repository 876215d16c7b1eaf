"""What Prometheus reads at ``/metrics``: requests, searches, commits, memory."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sparse_ir.server.live_index import LiveIndex

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class Metrics:
    """The numbers of one server, in a registry of its own."""

    def __init__(self, live: LiveIndex) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "sparse_ir_requests",
            "Requests answered.",
            ["method", "path", "status"],
            registry=self._registry,
        )
        self.request_seconds = Histogram(
            "sparse_ir_request_seconds",
            "From a request's head to its answer's end.",
            ["path"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.searches = Counter(
            "sparse_ir_searches", "Queries searched.", ["mode"], registry=self._registry
        )
        self.search_seconds = Histogram(
            "sparse_ir_search_seconds",
            "Searching a batch of queries that came together, HTTP left out.",
            ["mode"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._registry.register(_IndexCollector(live))
        ProcessCollector(registry=self._registry)

    def text(self) -> bytes:
        """All of them in Prometheus' format."""
        return generate_latest(self._registry)


class CountRequests:
    """Counts and times every request by its route, never by its address: those are without end."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, started = 500, time.perf_counter()

        async def send_noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        finally:
            path = getattr(scope.get("route"), "path", "none")
            method = scope["method"] if scope["method"] in _METHODS and path != "none" else "other"
            self._metrics.requests.labels(method, path, str(status)).inc()
            self._metrics.request_seconds.labels(path).observe(time.perf_counter() - started)


class _IndexCollector(Collector):
    """Asks the index when it is asked."""

    def __init__(self, live: LiveIndex) -> None:
        self._live = live

    def collect(self) -> list[Metric]:
        numbers = {
            "sparse_ir_documents": ("Documents in the index.", self._live.settings["n_docs"]),
            "sparse_ir_commits": ("Commits since the start.", self._live.n_commits),
            "sparse_ir_waiting_changes": ("Changes not yet written.", self._live.n_waiting),
        }
        return [GaugeMetricFamily(name, text, value=n) for name, (text, n) in numbers.items()]
