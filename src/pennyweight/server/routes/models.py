"""`GET /v1/models` and `GET /v1/models/{id}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from starlette.responses import JSONResponse

from pennyweight.server.openapi import MODEL_RESPONSES, MODELS_RESPONSES

if TYPE_CHECKING:
    from pennyweight.server.served import ServedModel


def models_routes(served: ServedModel) -> APIRouter:
    """Routes over the one model served."""
    router = APIRouter(tags=["models"])

    @router.get("/v1/models", summary="List models", response_model=None, responses=MODELS_RESPONSES)
    async def list_models() -> JSONResponse:
        return JSONResponse({"object": "list", "data": [served.card()]})

    # A name may hold slashes.
    @router.get(
        "/v1/models/{model:path}", summary="Describe a model", response_model=None, responses=MODEL_RESPONSES
    )
    async def get_model(model: str) -> JSONResponse:
        served.require(model)
        card: dict[str, Any] = served.card()
        return JSONResponse(card)

    return router
