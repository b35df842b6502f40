"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from pennyweight.server.openapi import MODEL_RESPONSES, MODELS_RESPONSES

if TYPE_CHECKING:
    from pennyweight.answers.served import ServedModels


def models_routes(served: ServedModels) -> APIRouter:
    """Routes over the models served."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="List models", response_model=None, responses=MODELS_RESPONSES)
    async def list_models() -> JSONResponse:
        return JSONResponse({"object": "list", "data": served.cards()})

    # A name may hold slashes.
    @router.get(
        "/v1/models/{model:path}",
        summary="Describe a model",
        response_model=None,
        responses=MODEL_RESPONSES,
    )
    async def get_model(request: Request) -> JSONResponse:
        return JSONResponse(served.card(request.path_params["model"]))

    return router
