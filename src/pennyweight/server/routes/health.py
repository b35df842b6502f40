"""`GET /live`: the process answers. `GET /health`: so does the engine, on what, and how much waits. No key.

Until the model is loaded `gate` answers for both: 200 and 503.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.errors import UnavailableError
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi import HEALTH_RESPONSES

if TYPE_CHECKING:
    from pennyweight.api import Engine


def health_routes(engine: Engine | None) -> APIRouter:
    """The routes over one engine; None: requests are only passed on, which needs nothing that could fail."""
    router = APIRouter(tags=["health"])

    @router.get("/live", summary="Whether the process answers", response_model=None)
    async def live() -> Response:
        return json_response({"status": "ok"})

    @router.get("/health", summary="State of the server", response_model=None, responses=HEALTH_RESPONSES)
    async def health() -> Response:
        if engine is None:
            return json_response({"status": "ok"})
        if not engine.is_serving:
            raise UnavailableError("The engine has stopped; restart the server. Its log says why.")
        return json_response(
            {"status": "ok", "model": engine.name, "target": engine.target, "queue": asdict(engine.stats())}
        )

    return router
