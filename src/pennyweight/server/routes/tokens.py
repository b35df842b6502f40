"""`/tokenize`, `/detokenize`, `/tokenizer_info`: the model's own tokens, for clients that count or score."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.completion_logprobs import token_name
from pennyweight.answers.foreign_ids import vocabulary_name
from pennyweight.answers.options import Options
from pennyweight.answers.served import AnsweringModel
from pennyweight.answers.tokens_schema import check_vocabulary, parse_detokenize, parse_tokenize
from pennyweight.errors import InvalidRequestError
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.openapi_answers import (
    DETOKENIZE_BODY,
    DETOKENIZE_RESPONSES,
    TOKENIZE_BODY,
    TOKENIZE_RESPONSES,
    TOKENIZER_INFO_RESPONSES,
)
from pennyweight.text.prompt import PromptPart

if TYPE_CHECKING:
    from pennyweight.answers.answer import Answerer
    from pennyweight.answers.exchange import Backend
    from pennyweight.answers.served import LocalTokens, Opening
    from pennyweight.answers.tokens_schema import TokenizeRequest
    from pennyweight.server.routes.chat import ChatLimits


def tokens_routes(backend: Backend, limits: ChatLimits) -> APIRouter:
    """The routes over the tokenizers of models that run here."""
    router = APIRouter(tags=["tokens"])

    def opening(request: Request, asked: str | None) -> Opening:
        model = backend.served.named_or_first(asked, AnsweringModel, principal_of(request).project)
        vocabulary = None if asked in (None, model.name) else vocabulary_name(str(asked))
        if vocabulary is not None:
            message = (
                f"'model' is '{asked}', whose token ids are of the vocabulary {vocabulary}; here runs "
                f"'{model.name}' with its own. Ask for it by its own name."
            )
            raise InvalidRequestError(message, param="model")
        model.check_local()
        return model.open()

    @router.post(
        "/tokenize",
        summary="Text or messages to token ids",
        response_model=None,
        openapi_extra={"requestBody": TOKENIZE_BODY},
        responses=TOKENIZE_RESPONSES,
    )
    async def tokenize(request: Request) -> Response:
        asked = parse_tokenize(await read_object(request, limit=limits.max_body_bytes))
        async with opening(request, asked.model) as model:
            answerer = model.tokens.answerer
            body = _tokenized(await _tokens(asked, answerer), answerer, texts=asked.return_token_strs)
        return json_response(body, headers=ignored_headers(asked.ignored))

    @router.post(
        "/detokenize",
        summary="Token ids to text",
        response_model=None,
        openapi_extra={"requestBody": DETOKENIZE_BODY},
        responses=DETOKENIZE_RESPONSES,
    )
    async def detokenize(request: Request) -> Response:
        body = await read_object(request, limit=limits.max_body_bytes)
        asked = parse_detokenize(body)
        async with opening(request, asked.model) as model:
            tokenizer = model.tokens.answerer.tokenizer
            check_vocabulary(asked.tokens, tokenizer.vocab_size)
            return json_response({"prompt": tokenizer.decode(asked.tokens, skip_special=False)})

    @router.get(
        "/tokenizer_info",
        summary="What begins and ends a text",
        response_model=None,
        responses=TOKENIZER_INFO_RESPONSES,
    )
    async def tokenizer_info(request: Request) -> Response:
        async with opening(request, None) as model:
            return json_response(_info(model.tokens))

    return router


async def _tokens(asked: TokenizeRequest, answerer: Answerer) -> list[int]:
    if not isinstance(asked.asked, str):
        options = Options(chat_template_kwargs=asked.chat_template_kwargs)
        return list(await answerer.tokens(asked.asked, options))
    tokenizer = answerer.tokenizer
    parts = [PromptPart(asked.asked, trusted=asked.parse_special)]
    add_bos = asked.add_special_tokens and tokenizer.add_bos
    # A long text takes milliseconds: not on the event loop.
    return await asyncio.to_thread(tokenizer.encode_parts, parts, add_bos=add_bos)


def _tokenized(tokens: list[int], answerer: Answerer, *, texts: bool) -> dict[str, Any]:
    names = [token_name(answerer.tokenizer.token_bytes(token)) for token in tokens] if texts else None
    return {
        "count": len(tokens),
        "max_model_len": answerer.context,
        "tokens": tokens,
        "token_strs": names,
    }


def _info(local: LocalTokens) -> dict[str, Any]:
    answerer, tokenizer = local.answerer, local.answerer.tokenizer

    def text(token: int | None) -> str | None:
        return None if token is None else tokenizer.token_bytes(token).decode(errors="replace")

    return {
        "bos_token": text(tokenizer.bos_token_id),
        "eos_token": text(tokenizer.eos_token_id),
        "add_bos_token": tokenizer.add_bos,
        "chat_template": local.chat_template,
        "vocab_size": tokenizer.vocab_size,
        "model_max_length": answerer.context,
    }
