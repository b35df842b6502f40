"""Responses in the background over HTTP: queued and told at once, or followed while the client stays.

A client that goes away ends nothing: the answer is written all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.history.following import told
from pennyweight.server.envelope import json_response
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.metering import leave_to_worker
from pennyweight.server.replies import charged_account
from pennyweight.server.sse import EventStream, TypedWire

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from pennyweight.answers.principal import Principal
    from pennyweight.errors import PennyweightError
    from pennyweight.history.background import Background


async def respond_later(
    request: Request,
    background: Background,
    body: Mapping[str, object],
    principal: Principal,
    *,
    ping_s: float,
) -> Response:
    """The queued response, or its events from the first one on. Raises what refuses the request."""
    prepared = await background.prepare(principal, body)
    charged_account(request, prepared.exchange)
    generation = await background.queue(principal, prepared)
    leave_to_worker(request)
    headers = ignored_headers(prepared.exchange.ignored)
    if prepared.exchange.stream:
        return followed_stream(background.follow(generation), ping_s=ping_s, headers=headers)
    return json_response(told(generation), headers=headers)


def followed_stream(
    events: AsyncGenerator[dict[str, Any]], *, ping_s: float, headers: Mapping[str, str] | None = None
) -> EventStream:
    """Events that are stored, as they come."""
    return EventStream(events, ping_s=ping_s, headers=headers, wire=TypedWire(_broken))


def _broken(error: PennyweightError) -> Iterable[dict[str, Any]]:
    """Following failed, not the answer: it may be followed again, from the last event on."""
    told = {"code": error.code, "message": error.message, "param": error.param}
    yield {"type": "error", "sequence_number": 0, **told}
