"""`POST /v1/embeddings`: texts to vectors, by an encoder that is opened when it is first needed."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from fastapi import APIRouter, Request
from starlette.responses import Response

from pennyweight.answers.embedding_response import embedding_body
from pennyweight.answers.embedding_schema import EmbeddingRequest, input_param, parse_embedding
from pennyweight.server.body import read_object
from pennyweight.server.connection import ClientGoneError, while_connected
from pennyweight.server.openapi import EMBEDDING_REQUEST_BODY, EMBEDDING_RESPONSES

if TYPE_CHECKING:
    from concurrent.futures import Future

    from pennyweight.answers.embedding import Embedder
    from pennyweight.answers.embedding_schema import Input
    from pennyweight.answers.foreign_ids import ForeignIds
    from pennyweight.server.served import ServedModels

_CLIENT_GONE = 499  # nobody receives it; access logs show it


class EmbedderSource(Protocol):
    """Something that opens its encoder when it is first asked for, never on the event loop."""

    def embedder(self) -> Future[Embedder]: ...


def embedding_routes(
    source: EmbedderSource, served: ServedModels, foreign: ForeignIds, *, max_body_bytes: int
) -> APIRouter:
    """The route over one encoder."""
    router = APIRouter(tags=["embeddings"])
    # Of its own: long texts must not hold up the prompts of chats, which the loop's own threads prepare.
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pennyweight-embeddings")

    @router.post(
        "/v1/embeddings",
        summary="Turn texts into vectors",
        response_model=None,
        openapi_extra={"requestBody": EMBEDDING_REQUEST_BODY},
        responses=EMBEDDING_RESPONSES,
    )
    async def create_embeddings(request: Request) -> Response:
        asked = parse_embedding(await read_object(request, limit=max_body_bytes))
        model = served.resolve(asked.model, task="embeddings").name

        def inputs() -> list[Input]:
            return [
                item
                if isinstance(item, str)
                else foreign.prompt(
                    item, asked=asked.model, served=model, param=input_param(asked.inputs, index)
                )
                for index, item in enumerate(asked.inputs)
            ]

        async def answer() -> Response:
            own = await asyncio.get_running_loop().run_in_executor(worker, inputs)
            embedder = await asyncio.wrap_future(source.embedder())
            body = await _embed(embedder, own, asked, model, worker)
            return Response(body, media_type="application/json")

        try:
            return await while_connected(request.receive, answer())
        except ClientGoneError:
            return Response(status_code=_CLIENT_GONE)

    return router


async def _embed(
    embedder: Embedder, inputs: list[Input], asked: EmbeddingRequest, model: str, worker: ThreadPoolExecutor
) -> bytes:
    loop = asyncio.get_running_loop()
    embedder.check_dimensions(asked.dimensions)
    windows = await loop.run_in_executor(worker, embedder.cut, inputs)
    # Cancelling this task (the client is gone) cancels the future, and with it the work.
    data = await asyncio.wrap_future(embedder.start(windows))

    def write() -> bytes:
        embeddings = embedder.finish(windows, data, dimensions=asked.dimensions)
        return embedding_body(embeddings, model=model, encoding_format=asked.encoding_format)

    return await loop.run_in_executor(worker, write)
