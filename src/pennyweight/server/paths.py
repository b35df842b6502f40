"""Paths with a NUL name nothing: no id has one, and PostgreSQL would refuse even to look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.errors import NotFoundError
from pennyweight.server.envelope import error_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Paths:
    """ASGI middleware: answers 404 to a path that holds a NUL, before anything is looked up."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "\0" in scope["path"]:
            error = NotFoundError("Nothing here has an id with a NUL character (%00) in it.")
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)
