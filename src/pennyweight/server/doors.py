"""Who may call by which name: web pages of strangers must not reach a server on this machine.

A page can make a browser send requests here, either across origins or by letting its own name point to this
machine (DNS rebinding). The first carries a foreign `Origin`, the second a foreign `Host`. Addresses and
`localhost` are nobody's names; others are allowed by setting.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from pennyweight.errors import InvalidRequestError, PennyweightError, PermissionDeniedError
from pennyweight.server.envelope import error_response

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

ANY = "*"


class Doors:
    """ASGI middleware: answers 403 to a `Host` or `Origin` nobody allowed, 400 to a `Host` that is none."""

    def __init__(self, app: ASGIApp, *, hosts: Collection[str], origins: Collection[str]) -> None:
        """`hosts` and `origins` are allowed beside addresses, `localhost` and the page's own; `*` is any."""
        self._app = app
        self._hosts = frozenset(host.lower() for host in hosts)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (refusal := self._refusal(Headers(scope=scope))):
            await error_response(refusal)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, headers: Headers) -> PennyweightError | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if not is_host(host):
            return InvalidRequestError(f"The header Host is no name with or without a port: '{host:.80}'.")
        if not self._knows_host(host):
            error = PermissionDeniedError(
                f"This server does not go by the name '{host_name(host)}'; to allow it, start it with "
                "--allow-host NAME."
            )
            error.code = "host_not_allowed"
            return error
        if origin is not None and not self._knows_origin(origin.lower(), host.lower()):
            error = PermissionDeniedError(
                f"Pages of '{origin}' may not use this server; to allow them, start it with "
                "--allow-origin ORIGIN."
            )
            error.code = "origin_not_allowed"
            return error
        return None

    def _knows_host(self, header: str) -> bool:
        name = host_name(header)
        return not name or ANY in self._hosts or is_nobodys_name(name) or name in self._hosts

    def _knows_origin(self, origin: str, host: str) -> bool:
        return ANY in self._origins or origin in self._origins or origin.partition("://")[2] == host != ""


def is_host(header: str) -> bool:
    """Whether URLs can be made with this `Host`: it has neither stray brackets nor a path."""
    try:
        return urlsplit(f"//{header}").netloc == header
    except ValueError:
        return False


def host_name(header: str) -> str:
    """The name in a `Host` header, without port and brackets."""
    header = header.strip().lower()
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].rstrip(".")


def is_nobodys_name(name: str) -> bool:
    """Whether no stranger can let `name` point to this machine: an address, or `localhost`."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
