"""Who asks, and whether they may: every request gets a `Principal`, in `request.state.principal`.

Everything but health and documentation wants a key once there is one. A key that does not fit the headers
`OpenAI-Organization` or `OpenAI-Project` is refused, so that nobody works in another project than they think;
without keys those headers say nothing, and the first key is not made here: it would lock everybody else out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers, MutableHeaders

from pennyweight.answers.principal import Principal
from pennyweight.errors import AuthenticationError, PennyweightError, PermissionDeniedError
from pennyweight.server.envelope import error_response
from pennyweight.server.permissions import OPEN_PATHS, makes_keys, needed_scope

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pennyweight.quota.accounts import Accounts
    from pennyweight.server.keyring import KeyRing

ORGANIZATION: Final = "org-pennyweight"
"""The one organization of a server."""
NOBODY: Final = Principal(scopes=frozenset())
"""Whoever asks for an open path without a key that opens more."""


class Authentication:
    """ASGI middleware: sets `principal` and `accounts`, or answers 401 or 403 in OpenAI's shape."""

    def __init__(self, app: ASGIApp, *, keys: KeyRing, accounts: Accounts) -> None:
        self._app = app
        self._keys = keys
        self._accounts = accounts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            principal = await self._admitted(scope, headers)
        except PennyweightError as error:
            await error_response(error)(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["principal"] = principal
        state["accounts"] = self._accounts

        async def send_told(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = MutableHeaders(scope=message)
                told["openai-organization"] = ORGANIZATION
                if (account := state.get("account")) is not None:
                    for name, value in account.headers().items():
                        told[name] = value
            await send(message)

        await self._app(scope, receive, send_told)

    async def _admitted(self, scope: Scope, headers: Headers) -> Principal:
        path = scope["path"]
        try:
            holder = await self._keys.holder(_bearer(headers.get("authorization")))
        except AuthenticationError:
            if path in OPEN_PATHS:
                return NOBODY
            raise
        if path in OPEN_PATHS:
            return holder.principal
        if holder.has_key:
            _check_headers(holder.principal, headers)
        elif makes_keys(scope["method"], path):
            raise _first_key()
        check_scope(holder.principal, needed_scope(scope["method"], path))
        return holder.principal


def principal_of(request: Request) -> Principal:
    """Who asks."""
    principal: Principal = request.state.principal
    return principal


def _bearer(header: str | None) -> str:
    scheme, _, key = (header or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _check_headers(principal: Principal, headers: Headers) -> None:
    organization = headers.get("openai-organization")
    if organization and organization != ORGANIZATION:
        error = AuthenticationError(
            f"OpenAI-Organization header should match organization for API key: it is '{ORGANIZATION}'."
        )
        error.code = "mismatched_organization"
        raise error
    project = headers.get("openai-project")
    if project and project != principal.project:
        error = AuthenticationError("OpenAI-Project header should match project for API key.")
        error.code = "mismatched_project"
        raise error


def _first_key() -> PermissionDeniedError:
    error = PermissionDeniedError(
        "This server has no keys yet; whoever runs it makes the first one on its machine, with "
        "'penny keys create'."
    )
    error.code = "no_keys"
    return error


def check_scope(principal: Principal, wanted: str | None) -> None:
    """Raise PermissionDeniedError unless `principal` has the scope; None asks for nothing."""
    if wanted is not None and not principal.may(wanted):
        error = PermissionDeniedError(
            f"You have insufficient permissions for this operation. Missing scopes: {wanted}. "
            "Ask whoever runs this server for a key that has them."
        )
        error.code = "insufficient_permissions"
        raise error
