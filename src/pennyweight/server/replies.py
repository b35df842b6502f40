"""An answer's events become a response for as long as the client is there, whole or streamed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from starlette.responses import Response

from pennyweight.answers.events import ignored_of
from pennyweight.answers.exchange import Exchange, StreamedExchange
from pennyweight.server.connection import ClientGoneError, while_connected
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from starlette.types import Receive

    from pennyweight.answers.principal import Principal
    from pennyweight.server.sse import Wire

E = TypeVar("E")
CLIENT_GONE = 499  # nobody receives it; access logs show it


class AnyExchange(Exchange, StreamedExchange[E], Protocol):
    """One that can be answered either way."""


async def respond(
    receive: Receive,
    exchange: AnyExchange[E],
    principal: Principal,
    *,
    ping_s: float,
    wire: Wire | None = None,
) -> Response:
    """The answer as the client wants it; a client that goes away ends the work."""
    if not exchange.stream:
        return await respond_whole(receive, exchange, principal)
    return await _reply(receive, _begin_stream(exchange, principal, ping_s=ping_s, wire=wire))


async def respond_whole(receive: Receive, exchange: Exchange, principal: Principal) -> Response:
    """The answer at once; a client that goes away ends the work."""
    return await _reply(receive, _whole(exchange, principal))


async def _reply(receive: Receive, work: Coroutine[object, object, Response]) -> Response:
    try:
        return await while_connected(receive, work)
    except ClientGoneError:
        return Response(status_code=CLIENT_GONE)


async def _whole(exchange: Exchange, principal: Principal) -> Response:
    answered = await exchange.whole(principal)
    headers = ignored_headers((*exchange.ignored, *answered.ignored))
    return Response(answered.body, headers=headers, media_type="application/json")


async def _begin_stream(
    exchange: AnyExchange[E], principal: Principal, *, ping_s: float, wire: Wire | None
) -> Response:
    """Waits for the first event: until the request is taken, a failure is an HTTP status."""
    events = exchange.events(principal)
    first = await anext(events)
    payloads = _payloads(first, events, exchange)
    headers = ignored_headers((*exchange.ignored, *ignored_of([first])))
    return EventStream(payloads, ping_s=ping_s, headers=headers, wire=wire)


async def _payloads(
    first: E, events: AsyncGenerator[E], exchange: StreamedExchange[E]
) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(events):
        for payload in exchange.pieces(first):
            yield payload
        async for event in events:
            for payload in exchange.pieces(event):
                yield payload
