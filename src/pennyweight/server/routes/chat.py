"""`POST /v1/chat/completions`, streamed and not."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.chat_response import ChatChunks, ChatIdentity, chat_completion
from pennyweight.answers.chat_schema import parse_chat
from pennyweight.answers.principal import LOCAL
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.openapi import CHAT_REQUEST_BODY, CHAT_RESPONSES
from pennyweight.server.replies import begin_stream, reply

if TYPE_CHECKING:
    from pennyweight.answers.answer import AnswerSource
    from pennyweight.answers.chat_schema import ChatRequest
    from pennyweight.answers.foreign_ids import ForeignIds
    from pennyweight.server.served import ServedModels


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
        asked = parse_chat(await read_object(request, limit=limits.max_body_bytes))
        return await reply(request.receive, _answer(asked))

    async def _answer(asked: ChatRequest) -> Response:
        model = served.resolve(asked.model, task="answers")
        options = foreign.options(asked.options, asked=asked.model, served=model.name)
        identity = ChatIdentity(model=model.name, fingerprint=model.fingerprint)
        events = answers.answer(asked.conversation, options, LOCAL)
        headers = ignored_headers(asked.ignored)
        if asked.stream:
            chunks = ChatChunks(identity, asked.shape)
            return await begin_stream(events, chunks.of, ping_s=limits.ping_s, headers=headers)
        async with aclosing(events):
            collected = [event async for event in events]
        return json_response(chat_completion(collected, identity, asked.shape), headers=headers)

    return router
