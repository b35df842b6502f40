"""`POST /v1/embeddings`: texts to vectors, by an encoder that is opened when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.embedding_exchange import EmbeddingExchange
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.openapi import EMBEDDING_REQUEST_BODY, EMBEDDING_RESPONSES
from pennyweight.server.replies import respond_whole

if TYPE_CHECKING:
    from pennyweight.answers.embedding_exchange import EmbeddingBackend


def embedding_routes(backend: EmbeddingBackend, *, max_body_bytes: int) -> APIRouter:
    """The route over one encoder."""
    router = APIRouter(tags=["embeddings"])

    @router.post(
        "/v1/embeddings",
        summary="Turn texts into vectors",
        response_model=None,
        openapi_extra={"requestBody": EMBEDDING_REQUEST_BODY},
        responses=EMBEDDING_RESPONSES,
    )
    async def create_embeddings(request: Request) -> Response:
        exchange = EmbeddingExchange(
            backend, await read_object(request, limit=max_body_bytes), principal_of(request).project
        )
        return await respond_whole(request, exchange, kind="embeddings")

    return router
