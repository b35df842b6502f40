"""One bearer key for everything that computes or tells figures; health and documentation stay open."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from starlette.datastructures import Headers

from pennyweight.errors import AuthenticationError
from pennyweight.server.envelope import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_PROTECTED = ("/v1", "/metrics", "/tokenize", "/detokenize")  # figures, too, tell what others do


class BearerAuth:
    """ASGI middleware: answers 401 in OpenAI's shape to requests without the key."""

    def __init__(self, app: ASGIApp, *, api_key: str) -> None:
        self._app = app
        self._api_key = api_key.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_PROTECTED):
            given = _bearer(Headers(scope=scope).get("authorization"))
            # Constant time: the answer's delay says nothing about how much of a guess was right.
            if not hmac.compare_digest(given.encode("latin-1"), self._api_key):
                await error_response(_refusal(given))(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _bearer(header: str | None) -> str:
    scheme, _, key = (header or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def _refusal(given: str) -> AuthenticationError:
    if not given:
        message = "You didn't provide an API key; send it as the header 'Authorization: Bearer KEY'."
    else:
        message = "Incorrect API key provided; use the one this server was started with."
    return AuthenticationError(message)
