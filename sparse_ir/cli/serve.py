"""``sparse-ir serve``: an index over HTTP, with a page to search it."""

from __future__ import annotations

import importlib.util
import os
import socket
from typing import Annotated

import typer

from sparse_ir.cli.console import tell
from sparse_ir.cli.options import ExistingIndexOption, find_index, use_threads

_BACKLOG = 1024  # connections that may wait
_IDLE_SECONDS = 75  # that a connection is kept: a little more than proxies keep theirs
_LAST_REQUESTS_SECONDS = 60  # that a stop waits for answers under way


def serve(
    folder: ExistingIndexOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes any free one.", min=0, max=65535)] = 8378,
    threads: Annotated[
        int | None, typer.Option(help="Of networks.", show_default="half of the cores")
    ] = None,
) -> None:
    """Serve an index over HTTP: a page at /, the interface below /v1 (see /openapi.json).

    Beyond this machine only with a key: set SPARSE_IR_API_KEY, and send it as a bearer token.
    Ctrl-C or SIGTERM ends it: what was acknowledged is committed.
    """
    _require_server_extra()
    import uvicorn

    from sparse_ir.server.app import create_app
    from sparse_ir.server.live_index import LiveIndex
    from sparse_ir.server.protection import API_KEY, LOCAL_NAMES, is_loopback, require_safe

    key = os.environ.get(API_KEY) or None
    require_safe(host, key)
    if threads is None:
        _leave_room_for_searches()
    use_threads(threads)
    listening = _listen(host, port)
    live = LiveIndex(find_index(folder))
    try:
        name = f"[{host}]" if ":" in host else host
        app = create_app(live, key=key, hosts=(*LOCAL_NAMES, name) if is_loopback(host) else None)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,  # nothing here asks who a client is
                timeout_keep_alive=_IDLE_SECONDS,
                timeout_graceful_shutdown=_LAST_REQUESTS_SECONDS,
            )
        )
        address = f"http://{name}:{listening.getsockname()[1]}/"
        tell(f"serving {live.path} at {address}")
        server.run(sockets=[listening])
    finally:
        live.close()


def _leave_room_for_searches() -> None:
    """Networks take half of the processors: all, and each would wait for one that searches."""
    threads = max(1, (os.cpu_count() or 1) // 2)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # read when torch is imported


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, for asyncio sends without delay only on sockets that say they are TCP's.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((host, port))
    listening.listen(_BACKLOG)  # now: whoever reads the address may connect at once
    return listening


def _require_server_extra() -> None:
    from sparse_ir.errors import MissingDependencyError

    for package in ("fastapi", "prometheus_client", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise MissingDependencyError(package, extra="server", purpose="serving")
