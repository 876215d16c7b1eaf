"""Who may ask, and how much: loopback or an API key, known host names, bodies of bounded size."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, Mapping

from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sparse_ir.errors import InvalidInputError

API_KEY = "SPARSE_IR_API_KEY"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_SHORTEST_KEY = 16


def require_safe(host: str, key: str | None) -> None:
    """Returns if a server with this key, or none, may listen on this address.

    Raises:
        InvalidInputError: others could reach it and there is no key; or the key is short.
    """
    if key is not None and len(key) < _SHORTEST_KEY:
        raise InvalidInputError(
            f"{API_KEY} has {len(key)} characters; want at least {_SHORTEST_KEY}"
        )
    if key is None and not is_loopback(host):
        raise InvalidInputError(
            f"others can reach {host}, and {API_KEY} is not set; set it to a secret of at least "
            f"{_SHORTEST_KEY} characters, or listen on 127.0.0.1"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def key_check(key: str | None) -> Callable[[Request], Awaitable[None]]:
    """A dependency that lets pass who sends ``Authorization: Bearer KEY``; all if there is none."""
    wanted = f"Bearer {key}".encode()

    async def check(request: Request) -> None:
        came = request.headers.get("authorization", "").encode()
        if key is not None and not secrets.compare_digest(came, wanted):
            raise HTTPException(
                401,
                "no valid key; send the header Authorization: Bearer KEY",
                {"www-authenticate": "Bearer"},
            )

    return check


class Guard:
    """Refuses unknown host names and large bodies; adds headers to every answer.

    Without a key the host must be a name of this machine: else a page of any site, whose name is
    made to resolve to 127.0.0.1, could read the index ("DNS rebinding").

    Args:
        app: What is guarded.
        hosts: Names without ports; None takes any.
        most_bytes: Of a body.
        headers: Sent with every answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: tuple[str, ...] | None,
        most_bytes: int,
        headers: Mapping[str, str],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._most_bytes = most_bytes
        self._headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        headers = Headers(scope=scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            refusal = JSONResponse({"detail": "unknown host name; use localhost"}, 421)
            await refusal(scope, receive, send_with_headers)
            return
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most_bytes:
            refusal = JSONResponse({"detail": self._too_large()}, 413)
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, self._counted(receive), send_with_headers)

    def _counted(self, receive: Receive) -> Receive:
        came = 0

        async def receive_counting() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self._most_bytes:
                raise HTTPException(413, self._too_large())
            return message

        return receive_counting

    def _too_large(self) -> str:
        return f"the body is larger than {self._most_bytes} bytes; send less at once"


def _name(host: str) -> str:
    """The host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
