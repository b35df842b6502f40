"""`/docs`: one page that reads `/openapi.json` and needs nothing from anywhere else."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import HTMLResponse

# The page carries its own script and style; nothing else may load or be sent anywhere.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'"


def docs_routes() -> APIRouter:
    """The page is read once, when the server starts."""
    router = APIRouter()
    page = files("pennyweight.server").joinpath("docs.html").read_text(encoding="utf-8")

    @router.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(page, headers={"content-security-policy": _POLICY})

    return router
