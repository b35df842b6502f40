"""`GET /live`: the process answers. `GET /health`: so does the engine, on what, and how much waits.

Neither wants a key. How much waits is told to those who may read figures: without keys, everybody.

Until the model is loaded `gate` answers for both: 200 and 503.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.scopes import METRICS_READ
from pennyweight.errors import UnavailableError
from pennyweight.server.auth import principal_of
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi import HEALTH_RESPONSES

if TYPE_CHECKING:
    from pennyweight.api import Engine


def health_routes(engine: Engine | None) -> APIRouter:
    """The routes over one engine; None: requests are only passed on, which needs nothing that could fail."""
    router = APIRouter(tags=["health"])

    @router.head("/live", include_in_schema=False)
    @router.get("/live", summary="Whether the process answers", response_model=None)
    async def live() -> Response:
        return json_response({"status": "ok"})

    @router.head("/health", include_in_schema=False)
    @router.get("/health", summary="State of the server", response_model=None, responses=HEALTH_RESPONSES)
    async def health(request: Request) -> Response:
        if engine is None:
            return json_response({"status": "ok"})
        if not engine.is_serving:
            raise UnavailableError("The engine has stopped; restart the server. Its log says why.")
        body: dict[str, Any] = {"status": "ok", "model": engine.name, "target": engine.target}
        if principal_of(request).may(METRICS_READ):  # figures tell what others do
            body["queue"] = asdict(engine.stats())
        return json_response(body)

    return router
