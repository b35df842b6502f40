"""The outermost layer: names every request, times it, and turns what nobody expected into a logged 500."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING
from uuid import uuid4

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect

from pennyweight.server.envelope import error_response, internal_error

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_API_VERSION = "2020-10-01"  # the version of OpenAI's interface that clients look for
_log = logging.getLogger(__name__)


def new_request_id() -> str:
    """A name nobody else has, in the form of OpenAI's."""
    return f"req_{uuid4().hex}"


class RequestId:
    """ASGI middleware: `x-request-id`, `openai-processing-ms` (until the first byte), `openai-version`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.monotonic()
        answering = False

        async def send_named(message: Message) -> None:
            nonlocal answering
            if message["type"] == "http.response.start":
                answering = True
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round(1000 * (time.monotonic() - started)))
                headers["openai-version"] = _API_VERSION
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except ClientDisconnect:
            return  # it went away before its request was whole: nobody to answer, nothing failed
        except Exception:  # the process edge: log it, answer 500
            _log.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            if answering:
                raise  # the connection must break: the client has half an answer
            await error_response(internal_error())(scope, receive, send_named)
