"""`POST /v1/responses`, streamed and not, and the count of the tokens it would read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.renamed_params import renamed_params
from pennyweight.answers.responses_exchange import RESPONSES_NAMES, ResponsesExchange
from pennyweight.answers.responses_schema import parse_input_count
from pennyweight.answers.served import AnsweringModel
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.openapi_answers import (
    INPUT_TOKENS_BODY,
    INPUT_TOKENS_RESPONSES,
    RESPONSES_BODY,
    RESPONSES_RESPONSES,
)
from pennyweight.server.replies import respond
from pennyweight.server.sse import TypedWire

if TYPE_CHECKING:
    from pennyweight.answers.exchange import Backend
    from pennyweight.server.routes.chat import ChatLimits


def responses_routes(backend: Backend, limits: ChatLimits) -> APIRouter:
    """The routes over what answers."""
    router = APIRouter(tags=["responses"])

    @router.post(
        "/v1/responses",
        summary="Answer an input",
        response_model=None,
        openapi_extra={"requestBody": RESPONSES_BODY},
        responses=RESPONSES_RESPONSES,
    )
    async def create_response(request: Request) -> Response:
        exchange = ResponsesExchange(backend, await read_object(request, limit=limits.max_body_bytes))
        wire = TypedWire(exchange.failed)
        return await respond(request, exchange, ping_s=limits.ping_s, wire=wire)

    @router.post(
        "/v1/responses/input_tokens",
        summary="Count the tokens of an input",
        response_model=None,
        openapi_extra={"requestBody": INPUT_TOKENS_BODY},
        responses=INPUT_TOKENS_RESPONSES,
    )
    async def count_input_tokens(request: Request) -> Response:
        asked = parse_input_count(await read_object(request, limit=limits.max_body_bytes))
        model = backend.served.named_or_first(asked.model, AnsweringModel)
        with renamed_params(RESPONSES_NAMES):
            tokens = await model.tokens.answerer.tokens(asked.conversation, asked.options)
        body = {"object": "response.input_tokens", "input_tokens": len(tokens)}
        return json_response(body, headers=ignored_headers(asked.ignored))

    return router
