"""`POST /tokenize` and `/detokenize`: the model's own tokens, for clients that count or score them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.completion_logprobs import token_name
from pennyweight.answers.options import Options
from pennyweight.answers.tokens_schema import parse_detokenize, parse_tokenize
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.openapi_answers import (
    DETOKENIZE_BODY,
    DETOKENIZE_RESPONSES,
    TOKENIZE_BODY,
    TOKENIZE_RESPONSES,
)
from pennyweight.text.prompt import PromptPart

if TYPE_CHECKING:
    from pennyweight.answers.answer import Answerer
    from pennyweight.answers.tokens_schema import TokenizeRequest
    from pennyweight.server.routes.chat import ChatLimits
    from pennyweight.server.served import ServedModels


def tokens_routes(answerer: Answerer, served: ServedModels, limits: ChatLimits) -> APIRouter:
    """The routes over one model's tokenizer."""
    router = APIRouter(tags=["tokens"])
    tokenizer = answerer.tokenizer

    @router.post(
        "/tokenize",
        summary="Text or messages to token ids",
        response_model=None,
        openapi_extra={"requestBody": TOKENIZE_BODY},
        responses=TOKENIZE_RESPONSES,
    )
    async def tokenize(request: Request) -> Response:
        asked = parse_tokenize(await read_object(request, limit=limits.max_body_bytes))
        if asked.model is not None:
            served.resolve(asked.model, task="answers")
        tokens = await _tokens(asked)
        names = [token_name(tokenizer.token_bytes(token)) for token in tokens]
        body = {
            "count": len(tokens),
            "max_model_len": answerer.context,
            "tokens": tokens,
            "token_strs": names if asked.return_token_strs else None,
        }
        return json_response(body, headers=ignored_headers(asked.ignored))

    async def _tokens(asked: TokenizeRequest) -> list[int]:
        if not isinstance(asked.asked, str):
            options = Options(chat_template_kwargs=asked.chat_template_kwargs)
            return list(await answerer.tokens(asked.asked, options))
        add_bos = asked.add_special_tokens and tokenizer.add_bos
        parts = [PromptPart(asked.asked, trusted=False)]
        # A long text takes milliseconds: not on the event loop.
        return await asyncio.to_thread(tokenizer.encode_parts, parts, add_bos=add_bos)

    @router.post(
        "/detokenize",
        summary="Token ids to text",
        response_model=None,
        openapi_extra={"requestBody": DETOKENIZE_BODY},
        responses=DETOKENIZE_RESPONSES,
    )
    async def detokenize(request: Request) -> Response:
        body = await read_object(request, limit=limits.max_body_bytes)
        asked = parse_detokenize(body, vocab_size=tokenizer.vocab_size)
        if asked.model is not None:
            served.resolve(asked.model, task="answers")
        return json_response({"prompt": tokenizer.decode(asked.tokens, skip_special=False)})

    return router
