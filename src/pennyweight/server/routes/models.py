"""`GET /v1/models`, and `GET` and `DELETE /v1/models/{id}`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from pennyweight.server.auth import principal_of
from pennyweight.server.openapi import DELETED_MODEL_RESPONSES, MODEL_RESPONSES, MODELS_RESPONSES

if TYPE_CHECKING:
    from pennyweight.answers.served_models import ServedModels


def models_routes(served: ServedModels) -> APIRouter:
    """Routes over the models served."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="List models", response_model=None, responses=MODELS_RESPONSES)
    async def list_models(request: Request) -> JSONResponse:
        return JSONResponse({"object": "list", "data": served.cards(principal_of(request).project)})

    # A name may hold slashes.
    @router.get(
        "/v1/models/{model:path}",
        summary="Describe a model",
        response_model=None,
        responses=MODEL_RESPONSES,
    )
    async def get_model(request: Request) -> JSONResponse:
        return JSONResponse(served.card(request.path_params["model"], principal_of(request).project))

    @router.delete(
        "/v1/models/{model:path}",
        summary="Delete a model that was tuned here",
        response_model=None,
        responses=DELETED_MODEL_RESPONSES,
    )
    async def delete_model(request: Request) -> JSONResponse:
        name: str = request.path_params["model"]
        await served.remove(name, principal_of(request).project)
        return JSONResponse({"id": name, "object": "model", "deleted": True})

    return router
