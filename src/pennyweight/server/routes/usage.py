"""`GET /v1/organization/usage/*` and `/v1/organization/costs`: usage and its price, in buckets of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.errors import NotFoundError
from pennyweight.server.envelope import json_response
from pennyweight.server.usage_query import COST_WIDTHS, WIDTHS, read_wish
from pennyweight.server.usage_shapes import completions_result, costs_result, embeddings_result, usage_page
from pennyweight.store.usage import UsageRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.server.usage_query import Wish
    from pennyweight.store.database import Database
    from pennyweight.store.usage import UsageSum

_SHAPES: Final = {"completions": completions_result, "embeddings": embeddings_result}
_NEVER_HERE: Final = frozenset(
    {
        "audio_speeches",
        "audio_transcriptions",
        "code_interpreter_sessions",
        "decisions",
        "file_search_calls",
        "images",
        "moderations",
        "vector_stores",
        "web_search_calls",
    }
)
"""Kinds of usage that OpenAI has; here their buckets are empty."""


def usage_routes(database: Database) -> APIRouter:
    """The routes over the usage kept in `database`."""
    router = APIRouter(tags=["organization"])
    rows = UsageRows()

    async def page(wish: Wish, shape: Callable[[UsageSum, Wish], dict[str, Any]]) -> Response:
        sums = [] if wish.nobody else await database.read(lambda link: rows.sums(link, wish.query))
        return json_response(usage_page(wish, sums, shape))

    @router.get("/v1/organization/usage/{kind}", summary="Usage in buckets of time", response_model=None)
    async def usage(request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind in _NEVER_HERE:
            wish = read_wish(request.query_params, WIDTHS, kind=kind)
            return json_response(usage_page(wish, (), completions_result))
        if kind not in _SHAPES:
            known = ", ".join(sorted({*_SHAPES, *_NEVER_HERE}))
            raise NotFoundError(f"There is no kind of usage '{kind:.80}'; the kinds are {known}.")
        wish = read_wish(request.query_params, WIDTHS, kind=kind)
        return await page(wish, _SHAPES[kind])

    @router.get("/v1/organization/costs", summary="The price of usage, day by day", response_model=None)
    async def costs(request: Request) -> Response:
        return await page(read_wish(request.query_params, COST_WIDTHS, kind=None), costs_result)

    return router
