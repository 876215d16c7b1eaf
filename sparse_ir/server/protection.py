"""Who may ask, and how much: loopback or an API key, known names, bodies of bounded size."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Mapping

from fastapi import HTTPException
from fastapi.responses import JSONResponse, Response
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


class Guard:
    """Refuses by the headers, before a body is read, who may not ask; adds headers to every answer.

    Without a key the host must be a name of this machine: else a page of any site, whose name is
    made to resolve to 127.0.0.1, could read the index ("DNS rebinding"). Nor may pages of others
    ask, for they could write without reading the answer ("cross-site request forgery").

    Args:
        app: What is guarded.
        key: Needed by all addresses but the open ones; None lets everyone in.
        hosts: Names without ports; None takes any.
        open_paths: Addresses that give away nothing of the index.
        most_bytes: Of a body.
        headers: Sent with every answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        key: str | None,
        hosts: tuple[str, ...] | None,
        open_paths: tuple[str, ...],
        most_bytes: int,
        headers: Mapping[str, str],
    ) -> None:
        self._app = app
        self._key = key
        self._hosts = hosts
        self._open_paths = open_paths
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
        refusal = self._misdirected(headers)
        if refusal is None and scope["path"] not in self._open_paths:
            refusal = self._unwelcome(scope["method"], headers)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        await self._app(scope, self._counted(receive), send_with_headers)

    def _misdirected(self, headers: Headers) -> Response | None:
        """What is said to whoever may ask nothing at all."""
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            return _refusal(421, "unknown host name; use localhost")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most_bytes:
            return _refusal(413, self._too_large())
        return None

    def _unwelcome(self, method: str, headers: Headers) -> Response | None:
        """What is said to whoever may not ask about the index."""
        if self._key is not None and not _has_key(headers, self._key):
            refusal = _refusal(401, "no valid key; send the header Authorization: Bearer KEY")
            refusal.headers["www-authenticate"] = "Bearer"
            return refusal
        if self._key is None and _is_of_another_site(headers):
            return _refusal(
                403, "a page of another site asks; ask from this server's own, or a program"
            )
        if method == "POST" and not _is_json(headers):
            return _refusal(415, "want a body with the header Content-Type: application/json")
        return None

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


def _refusal(status: int, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


def _has_key(headers: Headers, key: str) -> bool:
    came, wanted = headers.get("authorization", ""), f"Bearer {key}".encode()
    # Headers are read as Latin-1, in which pages send them; shells send UTF-8.
    return any(secrets.compare_digest(came.encode(how), wanted) for how in ("latin-1", "utf-8"))


def _is_of_another_site(headers: Headers) -> bool:
    """Whether a browser says that the request is of a page that we did not send."""
    origin = headers.get("origin")
    is_other = origin is not None and origin.partition("://")[2] != headers.get("host")
    return is_other or headers.get("sec-fetch-site") == "cross-site"


def _is_json(headers: Headers) -> bool:
    """Whether the body is said to be: browsers let no page send that to another site unasked."""
    kind, _, _ = headers.get("content-type", "").partition(";")
    return kind.strip().lower() == "application/json"
