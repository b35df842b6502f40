"""`POST /v1/responses`, streamed and not, and the count of the tokens it would read."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.principal import LOCAL
from pennyweight.answers.renamed_params import renamed_params
from pennyweight.answers.responses_events import ResponseEvents
from pennyweight.answers.responses_object import ResponseIdentity
from pennyweight.answers.responses_schema import parse_input_count, parse_response
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.openapi_answers import (
    INPUT_TOKENS_BODY,
    INPUT_TOKENS_RESPONSES,
    RESPONSES_BODY,
    RESPONSES_RESPONSES,
)
from pennyweight.server.replies import begin_stream, reply
from pennyweight.server.sse import TypedWire

if TYPE_CHECKING:
    from pennyweight.answers.answer import Answerer, AnswerSource
    from pennyweight.answers.foreign_ids import ForeignIds
    from pennyweight.answers.responses_schema import ResponseRequest
    from pennyweight.server.routes.chat import ChatLimits
    from pennyweight.server.served import ServedModels

_NAMES = {"messages": "input"}  # what the answering rooms call it, and what this interface does


def responses_routes(
    answers: AnswerSource,
    answerer: Answerer,
    served: ServedModels,
    foreign: ForeignIds,
    limits: ChatLimits,
) -> APIRouter:
    """The routes over one source of answers; `answerer` knows the model's tokens."""
    router = APIRouter(tags=["responses"])

    @router.post(
        "/v1/responses",
        summary="Answer an input",
        response_model=None,
        openapi_extra={"requestBody": RESPONSES_BODY},
        responses=RESPONSES_RESPONSES,
    )
    async def create_response(request: Request) -> Response:
        asked = parse_response(await read_object(request, limit=limits.max_body_bytes))
        return await reply(request.receive, _answer(asked))

    async def _answer(asked: ResponseRequest) -> Response:
        model = served.resolve(asked.model, task="answers")
        options = foreign.options(asked.options, asked=asked.model, served=model.name)
        making = ResponseEvents(ResponseIdentity(model=model.name), asked)
        events = answers.answer(asked.conversation, options, LOCAL)
        headers = ignored_headers(asked.ignored)
        with renamed_params(_NAMES):
            if asked.stream:
                wire = TypedWire(making.failed)
                return await begin_stream(events, making.of, ping_s=limits.ping_s, headers=headers, wire=wire)
            async with aclosing(events):
                async for event in events:
                    for _ in making.of(event):
                        pass
        assert making.result is not None
        return json_response(making.result, headers=headers)

    @router.post(
        "/v1/responses/input_tokens",
        summary="Count the tokens of an input",
        response_model=None,
        openapi_extra={"requestBody": INPUT_TOKENS_BODY},
        responses=INPUT_TOKENS_RESPONSES,
    )
    async def count_input_tokens(request: Request) -> Response:
        asked = parse_input_count(await read_object(request, limit=limits.max_body_bytes))
        if asked.model is not None:
            served.resolve(asked.model, task="answers")
        with renamed_params(_NAMES):
            tokens = await answerer.tokens(asked.conversation, asked.options)
        body = {"object": "response.input_tokens", "input_tokens": len(tokens)}
        return json_response(body, headers=ignored_headers(asked.ignored))

    return router
