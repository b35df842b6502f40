"""`POST /v1/chat/completions`, streamed and not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.openapi import CHAT_REQUEST_BODY, CHAT_RESPONSES
from pennyweight.server.replies import respond

if TYPE_CHECKING:
    from pennyweight.history.chats import Chats


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatLimits:
    """`ping_s`: seconds of silence before a stream sends a comment."""

    max_body_bytes: int
    ping_s: float


def chat_routes(chats: Chats, limits: ChatLimits) -> APIRouter:
    """The route over what answers, and keeps what it is told to."""
    router = APIRouter(tags=["chat"])

    @router.post(
        "/v1/chat/completions",
        summary="Answer a conversation",
        response_model=None,
        openapi_extra={"requestBody": CHAT_REQUEST_BODY},
        responses=CHAT_RESPONSES,
    )
    async def create_chat_completion(request: Request) -> Response:
        body = await read_object(request, limit=limits.max_body_bytes)
        exchange = chats.exchange(principal_of(request), body)
        return await respond(request, exchange, ping_s=limits.ping_s)

    return router
