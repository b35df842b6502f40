"""Server-sent events as OpenAI's clients read them, with `: ping` in silence.

Completions are `data:` lines ended by `[DONE]`; a failure in mid-stream is one more line with the error
object, which the clients raise. Responses are typed events; their failure is an event of its own.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol

from starlette.responses import Response

from pennyweight.answers.exchange import compact_json
from pennyweight.errors import PennyweightError, error_object
from pennyweight.server.connection import ClientGoneError, while_connected
from pennyweight.server.envelope import internal_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable, Mapping

    from starlette.types import Receive, Scope, Send

PING = b": ping\n\n"
DONE = b"data: [DONE]\n\n"
RUN_DONE = b"event: done\n" + DONE
_log = logging.getLogger(__name__)


class Wire(Protocol):
    """How payloads look on the wire, and how a stream ends: well, or with an error."""

    @property
    def end(self) -> bytes: ...

    def line(self, payload: dict[str, Any]) -> bytes: ...

    def failure(self, error: PennyweightError) -> Iterable[dict[str, Any]]: ...


class DataWire:
    """`data:` lines, as chat and plain completions stream them."""

    end = DONE

    def line(self, payload: dict[str, Any]) -> bytes:
        return event_line(payload)

    def failure(self, error: PennyweightError) -> Iterable[dict[str, Any]]:
        return (error_object(error),)


class TypedWire:
    """`event:` lines with the payload's type, and nothing after the last; `failed` tells what broke it."""

    end = b""

    def __init__(self, failed: Callable[[PennyweightError], Iterable[dict[str, Any]]]) -> None:
        self.failure = failed

    def line(self, payload: dict[str, Any]) -> bytes:
        return f"event: {payload['type']}\n".encode() + event_line(payload)


_COMPLETE = (DONE, RUN_DONE, b"event: response.completed\n", b"event: response.incomplete\n")
_FAILED = (b'data: {"error":', b"event: response.failed\n", b"event: error\n")


def completes_answer(event: bytes) -> bool:
    """Whether `event` says that the answer is whole."""
    return event.startswith(_COMPLETE)


def tells_failure(event: bytes) -> bool:
    """Whether `event` says that the answer broke off."""
    return event.startswith(_FAILED)


class EventStream(Response):
    """Sends each payload as one event. A client that goes away closes `payloads` at once."""

    media_type = "text/event-stream"

    def __init__(
        self,
        payloads: AsyncGenerator[dict[str, Any]],
        *,
        ping_s: float,
        headers: Mapping[str, str] | None = None,
        wire: Wire | None = None,
    ) -> None:
        self._payloads = payloads
        self._wire = DataWire() if wire is None else wire
        self._ping_s = ping_s
        self.status_code = 200
        self.background = None
        # Proxies must pass events on as they come.
        self.init_headers({"cache-control": "no-cache", "x-accel-buffering": "no", **(headers or {})})
        del self.headers["content-length"]

    async def __call__(self, _: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._payloads):  # whatever ends this, the answer ends with it
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                await while_connected(receive, self._send_all(send))
            except ClientGoneError:
                return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send_all(self, send: Send) -> None:
        sent = asyncio.Event()
        pinger = asyncio.ensure_future(self._ping(send, sent))
        try:
            async with aclosing(self._events()) as events:
                async for line in events:
                    sent.set()
                    await _write(send, line)
        finally:
            pinger.cancel()
            await asyncio.gather(pinger, return_exceptions=True)

    async def _events(self) -> AsyncGenerator[bytes]:
        try:
            async with aclosing(self._payloads) as payloads:
                async for payload in payloads:
                    yield self._wire.line(payload)
        except PennyweightError as error:
            for payload in self._wire.failure(error):
                yield self._wire.line(payload)
        except Exception:  # the process edge: log it, tell the client that the answer is not whole
            _log.exception("a stream failed")
            for payload in self._wire.failure(internal_error()):
                yield self._wire.line(payload)
        else:
            if self._wire.end:
                yield self._wire.end

    async def _ping(self, send: Send, sent: asyncio.Event) -> None:
        """A comment whenever nothing was sent for a while: a long prompt must not look like a dead server."""
        while True:
            await asyncio.sleep(self._ping_s)
            if not sent.is_set():
                await _write(send, PING)
            sent.clear()


def event_line(payload: dict[str, Any]) -> bytes:
    """One event; the JSON has no raw line breaks, so one `data:` line is enough."""
    return b"data: " + compact_json(payload) + b"\n\n"


async def _write(send: Send, body: bytes) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": True})
