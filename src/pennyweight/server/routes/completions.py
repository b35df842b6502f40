"""`POST /v1/completions`, streamed and not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.completion_exchange import CompletionExchange
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.openapi_answers import COMPLETIONS_BODY, COMPLETIONS_RESPONSES
from pennyweight.server.replies import respond

if TYPE_CHECKING:
    from pennyweight.answers.exchange import Backend
    from pennyweight.server.routes.chat import ChatLimits


def completions_routes(backend: Backend, limits: ChatLimits) -> APIRouter:
    """The route over what answers."""
    router = APIRouter(tags=["completions"])

    @router.post(
        "/v1/completions",
        summary="Continue a text",
        response_model=None,
        openapi_extra={"requestBody": COMPLETIONS_BODY},
        responses=COMPLETIONS_RESPONSES,
    )
    async def create_completion(request: Request) -> Response:
        exchange = CompletionExchange(
            backend,
            await read_object(request, limit=limits.max_body_bytes),
            principal_of(request).project,
        )
        return await respond(request, exchange, ping_s=limits.ping_s)

    return router
