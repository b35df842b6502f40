"""An answer's events become a response for as long as the client is there, whole or streamed."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from starlette.responses import Response

from pennyweight.answers.events import ignored_of
from pennyweight.answers.exchange import Exchange, StreamedExchange
from pennyweight.cost.usage import CLIENT_GONE
from pennyweight.server.auth import principal_of
from pennyweight.server.connection import ClientGoneError, while_connected
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.metering import metered_account
from pennyweight.server.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Coroutine

    from starlette.requests import Request
    from starlette.types import Receive

    from pennyweight.answers.account import Account
    from pennyweight.answers.principal import Principal
    from pennyweight.cost.prices import Kind
    from pennyweight.quota.accounts import RequestAccount
    from pennyweight.server.sse import Wire

E = TypeVar("E")


class AnyExchange(Exchange, StreamedExchange[E], Protocol):
    """One that can be answered either way."""


async def respond(
    request: Request, exchange: AnyExchange[E], *, ping_s: float, wire: Wire | None = None
) -> Response:
    """The answer as the client wants it; a client that goes away ends the work."""
    if not exchange.stream:
        return await respond_whole(request, exchange)
    account = charged_account(request, exchange)
    work = _begin_stream(exchange, principal_of(request), account, ping_s=ping_s, wire=wire)
    return await _reply(request.receive, work)


async def respond_whole(request: Request, exchange: Exchange, *, kind: Kind = "completions") -> Response:
    """The answer at once; a client that goes away ends the work. `kind` is what it is billed as."""
    account = charged_account(request, exchange, kind)
    return await _reply(request.receive, _whole(exchange, principal_of(request), account))


def charged_account(request: Request, exchange: Exchange, kind: Kind = "completions") -> Account:
    """The request's account, its request charged. Raises RateLimitError."""
    account: RequestAccount = request.state.accounts.of(
        principal_of(request), model=exchange.model, kind=kind
    )
    request.state.account = account  # its limits are told with the response, whatever that will be
    metered = metered_account(request, exchange, account)
    account.begin()
    return metered


async def _reply(receive: Receive, work: Coroutine[object, object, Response]) -> Response:
    try:
        return await while_connected(receive, work)
    except ClientGoneError:
        return Response(status_code=CLIENT_GONE)


async def _whole(exchange: Exchange, principal: Principal, account: Account) -> Response:
    answered = await exchange.whole(principal, account=account)
    headers = ignored_headers((*exchange.ignored, *answered.ignored))
    return Response(answered.body, headers=headers, media_type="application/json")


async def _begin_stream(
    exchange: AnyExchange[E], principal: Principal, account: Account, *, ping_s: float, wire: Wire | None
) -> Response:
    """Waits for the first event: until the request is taken, a failure is an HTTP status."""
    events = exchange.events(principal, account=account)
    first = await anext(events)
    payloads = _payloads(first, events, exchange)
    await anext(payloads)
    headers = ignored_headers((*exchange.ignored, *ignored_of([first])))
    return EventStream(payloads, ping_s=ping_s, headers=headers, wire=wire)


async def _payloads(
    first: E, events: AsyncGenerator[E], exchange: StreamedExchange[E]
) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(events):
        yield {}  # begun: closing a generator that never began would not close `events`
        for payload in exchange.pieces(first):
            yield payload
        async for event in events:
            for payload in exchange.pieces(event):
                yield payload
