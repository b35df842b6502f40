"""`GET /live`: the process answers. `GET /health`: so do the engines, on what, and how much waits.

Neither wants a key. How much waits is told to those who may read figures: without keys, everybody.

Until the model is loaded `gate` answers for both: 200 and 503.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.scopes import METRICS_READ
from pennyweight.api import active_target
from pennyweight.engine.stats import EngineStats
from pennyweight.errors import UnavailableError
from pennyweight.server.auth import principal_of
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi import HEALTH_RESPONSES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.serving import ModelsHere


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """What is told of the server: its models here (None: requests are only passed on) and its first one."""

    here: ModelsHere | None
    info: Mapping[str, str]

    @classmethod
    def of(cls, here: ModelsHere | None) -> ServerStatus:
        if here is None:
            return cls(here=None, info={})
        return cls(here=here, info={"model": next(iter(here.stats())), "target": active_target()})


def health_routes(status: ServerStatus) -> APIRouter:
    """The routes. Without models here nothing is needed that could fail."""
    router = APIRouter(tags=["health"])

    @router.head("/live", include_in_schema=False)
    @router.get("/live", summary="Whether the process answers", response_model=None)
    async def live() -> Response:
        return json_response({"status": "ok"})

    @router.head("/health", include_in_schema=False)
    @router.get("/health", summary="State of the server", response_model=None, responses=HEALTH_RESPONSES)
    async def health(request: Request) -> Response:
        body: dict[str, Any] = {"status": "ok", **status.info}
        if status.here is None:
            return json_response(body)
        if not status.here.is_serving:
            raise UnavailableError("The engine has stopped; restart the server. Its log says why.")
        if principal_of(request).may(METRICS_READ):  # figures tell what others do
            body["queue"] = asdict(reduce(EngineStats.plus, status.here.stats().values()))
        return json_response(body)

    return router
