"""`POST /v1/completions`, streamed and not."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.completion_prompts import encode_prompts
from pennyweight.answers.completion_response import CompletionChunks, CompletionIdentity, completion
from pennyweight.answers.completion_run import answer_prompts
from pennyweight.answers.completion_schema import parse_completion
from pennyweight.answers.principal import LOCAL
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi_answers import COMPLETIONS_BODY, COMPLETIONS_RESPONSES
from pennyweight.server.replies import begin_stream, reply

if TYPE_CHECKING:
    from pennyweight.answers.answer import Answerer, AnswerSource
    from pennyweight.answers.completion_schema import AskedPrompt, CompletionRequest
    from pennyweight.answers.foreign_ids import ForeignIds
    from pennyweight.server.routes.chat import ChatLimits
    from pennyweight.server.served import ServedModel, ServedModels


def completions_routes(
    answers: AnswerSource,
    answerer: Answerer,
    served: ServedModels,
    foreign: ForeignIds,
    limits: ChatLimits,
) -> APIRouter:
    """The route over one source of answers; `answerer` knows the model's tokens."""
    router = APIRouter(tags=["completions"])

    @router.post(
        "/v1/completions",
        summary="Continue a text",
        response_model=None,
        openapi_extra={"requestBody": COMPLETIONS_BODY},
        responses=COMPLETIONS_RESPONSES,
    )
    async def create_completion(request: Request) -> Response:
        asked = parse_completion(await read_object(request, limit=limits.max_body_bytes))
        model = served.resolve(asked.model, task="answers")
        asked = _in_own_ids(asked, model)
        return await reply(request.receive, _answer(asked, model))

    def _in_own_ids(asked: CompletionRequest, model: ServedModel) -> CompletionRequest:
        def own(prompt: AskedPrompt) -> AskedPrompt:
            if isinstance(prompt.content, str):
                return prompt
            ids = foreign.prompt(prompt.content, asked=asked.model, served=model.name, param=prompt.param)
            return replace(prompt, content=ids)

        options = foreign.options(asked.options, asked=asked.model, served=model.name)
        return replace(asked, options=options, prompts=tuple(map(own, asked.prompts)))

    async def _answer(asked: CompletionRequest, model: ServedModel) -> Response:
        prompts = await encode_prompts(asked.prompts, asked.options, answerer)
        identity = CompletionIdentity(model=model.name, fingerprint=model.fingerprint)
        events = answer_prompts(answers, prompts, asked.options, LOCAL)
        if asked.stream:
            chunks = CompletionChunks(identity, asked, prompts, answerer.tokenizer)
            return await begin_stream(events, lambda event: chunks.of(*event), ping_s=limits.ping_s)
        async with aclosing(events):
            collected = [event async for event in events]
        return json_response(completion(collected, identity, asked, prompts, answerer.tokenizer))

    return router
