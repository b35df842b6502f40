"""An answer's events become a response for as long as the client is there, whole or streamed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import Response

from pennyweight.server.connection import ClientGoneError, while_connected
from pennyweight.server.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Mapping

    from starlette.types import Receive

    from pennyweight.server.sse import Wire

T = TypeVar("T")
CLIENT_GONE = 499  # nobody receives it; access logs show it


async def reply(receive: Receive, work: Coroutine[object, object, Response]) -> Response:
    """The response that `work` makes; a client that goes away first ends the work."""
    try:
        return await while_connected(receive, work)
    except ClientGoneError:
        return Response(status_code=CLIENT_GONE)


async def begin_stream(
    events: AsyncGenerator[T],
    payloads_of: Callable[[T], Iterable[dict[str, Any]]],
    *,
    ping_s: float,
    headers: Mapping[str, str] | None = None,
    wire: Wire | None = None,
) -> Response:
    """Waits for the first event: until the engine has taken the request, a failure is an HTTP status."""
    first = await anext(events)
    payloads = _payloads(first, events, payloads_of)
    return EventStream(payloads, ping_s=ping_s, headers=headers, wire=wire)


async def _payloads(
    first: T, events: AsyncGenerator[T], payloads_of: Callable[[T], Iterable[dict[str, Any]]]
) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(events):
        for payload in payloads_of(first):
            yield payload
        async for event in events:
            for payload in payloads_of(event):
                yield payload
