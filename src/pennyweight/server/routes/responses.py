"""`POST /v1/responses`, streamed and not, and the count of the tokens it would read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.renamed_params import renamed_params
from pennyweight.answers.responses_exchange import RESPONSES_NAMES
from pennyweight.answers.responses_schema import parse_input_count
from pennyweight.answers.responses_state import asked_state
from pennyweight.answers.served import AnsweringModel
from pennyweight.history.standing import reading_scopes
from pennyweight.server.auth import check_scope, principal_of
from pennyweight.server.background import respond_later
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
    from collections.abc import Mapping

    from pennyweight.answers.principal import Principal
    from pennyweight.answers.served_models import ServedModels
    from pennyweight.history.background import Background
    from pennyweight.history.responses import Responses
    from pennyweight.server.routes.chat import ChatLimits


def responses_routes(
    responses: Responses, background: Background, served: ServedModels, limits: ChatLimits
) -> APIRouter:
    """The routes over what answers, and keeps it unless told otherwise."""
    router = APIRouter(tags=["responses"])

    @router.post(
        "/v1/responses",
        summary="Answer an input",
        response_model=None,
        openapi_extra={"requestBody": RESPONSES_BODY},
        responses=RESPONSES_RESPONSES,
    )
    async def create_response(request: Request) -> Response:
        body = await read_object(request, limit=limits.max_body_bytes)
        if asked_state(body).background:
            return await respond_later(
                request, background, body, _reader(request, body), ping_s=limits.ping_s
            )
        exchange = await responses.exchange(_reader(request, body), body)
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
        body = await read_object(request, limit=limits.max_body_bytes)
        asked = parse_input_count(*await responses.past(_reader(request, body), body))
        model = served.named_or_first(asked.model, AnsweringModel, principal_of(request).project)
        with renamed_params(RESPONSES_NAMES):
            async with model.open() as ready:
                tokens = await ready.tokens.answerer.tokens(asked.conversation, asked.options)
        body = {"object": "response.input_tokens", "input_tokens": len(tokens)}
        return json_response(body, headers=ignored_headers(asked.ignored))

    return router


def _reader(request: Request, body: Mapping[str, object]) -> Principal:
    """Who asks. Raises PermissionDeniedError unless the key may read all that `body` names."""
    principal = principal_of(request)
    for scope in reading_scopes(body):
        check_scope(principal, scope)
    return principal
