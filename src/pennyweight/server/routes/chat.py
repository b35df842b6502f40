"""`POST /v1/chat/completions`, streamed and not."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from pennyweight.answers.chat_response import ChatChunks, ChatIdentity, chat_completion
from pennyweight.answers.chat_schema import parse_chat
from pennyweight.answers.principal import LOCAL
from pennyweight.server.body import read_object
from pennyweight.server.connection import ClientGoneError, while_connected
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi import CHAT_REQUEST_BODY, CHAT_RESPONSES
from pennyweight.server.sse import EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from pennyweight.answers.answer import AnswerSource
    from pennyweight.answers.chat_schema import ChatRequest
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.answers.foreign_ids import ForeignIds
    from pennyweight.server.served import ServedModels

_CLIENT_GONE = 499  # nobody receives it; access logs show it
_LONGEST_HEADER = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """`ping_s`: seconds of silence before a stream sends a comment."""

    max_body_bytes: int
    ping_s: float


def chat_routes(
    answers: AnswerSource, served: ServedModels, foreign: ForeignIds, limits: ChatLimits
) -> APIRouter:
    """The route over one source of answers."""
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions",
        summary="Answer a conversation",
        response_model=None,
        openapi_extra={"requestBody": CHAT_REQUEST_BODY},
        responses=CHAT_RESPONSES,
    )
    async def create_chat_completion(request: Request) -> Response:
        chat = parse_chat(await read_object(request, limit=limits.max_body_bytes))
        model = served.resolve(chat.model, task="answers")
        options = foreign.options(chat.options, asked=chat.model, served=model.name)
        identity = ChatIdentity(model=model.name, fingerprint=model.fingerprint)
        events = answers.answer(chat.conversation, options, LOCAL)
        work = _begin_stream if chat.stream else _complete
        try:
            return await while_connected(request.receive, work(events, chat, identity, limits.ping_s))
        except ClientGoneError:
            return Response(status_code=_CLIENT_GONE)

    return router


async def _complete(
    events: AsyncGenerator[AnswerEvent], chat: ChatRequest, identity: ChatIdentity, _: float
) -> Response:
    async with aclosing(events):
        collected = [event async for event in events]
    return json_response(chat_completion(collected, identity, chat.shape), headers=_headers(chat))


async def _begin_stream(
    events: AsyncGenerator[AnswerEvent], chat: ChatRequest, identity: ChatIdentity, ping_s: float
) -> Response:
    # Until the engine has accepted the request a failure is still an HTTP status, not an event.
    accepted = await anext(events)
    chunks = ChatChunks(identity, chat.shape)
    return EventStream(_payloads(accepted, events, chunks), ping_s=ping_s, headers=_headers(chat))


async def _payloads(
    accepted: AnswerEvent, events: AsyncGenerator[AnswerEvent], chunks: ChatChunks
) -> AsyncGenerator[dict[str, Any]]:
    async with aclosing(events):
        for chunk in chunks.of(accepted):
            yield chunk
        async for event in events:
            for chunk in chunks.of(event):
                yield chunk


def _headers(chat: ChatRequest) -> dict[str, str]:
    if not chat.ignored:
        return {}
    # Keys are the client's own text: quoted, they cannot break a header. Half a surrogate pair becomes "?".
    named = ", ".join(quote(path, safe="[]. ", errors="replace") for path in chat.ignored)
    return {"x-pennyweight-ignored": named[:_LONGEST_HEADER]}
