"""`POST /v1/moderations`: not yet, said so that no client tries again."""

from __future__ import annotations

from fastapi import APIRouter

from pennyweight.errors import NotFoundError


def moderations_routes() -> APIRouter:
    """The route that says no."""
    router = APIRouter()

    @router.post("/v1/moderations", include_in_schema=False)
    async def create_moderation() -> None:
        error = NotFoundError("Moderations are not there yet: no model served here judges texts.")
        error.code = "not_supported_yet"
        raise error

    return router
