"""The application while there is none yet: the server listens before its model is ready.

`/live` answers 200 from the first moment; everything else is 503 with `retry-after`, which the official
clients wait for, until `open` puts the real application behind the gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.errors import ModelLoadingError
from pennyweight.server.envelope import error_response, json_response
from pennyweight.server.request_id import RequestId

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Gate:
    """An ASGI application that hands over to another one when that is ready."""

    def __init__(self) -> None:
        self._app: ASGIApp = RequestId(_answer_early)

    def open(self, app: ASGIApp) -> None:
        """From now on `app` answers. From any thread."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


async def _answer_early(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/live":
        response = json_response({"status": "ok"})
    else:
        response = error_response(ModelLoadingError("The model is being loaded; try again in a moment."))
    await response(scope, receive, send)
