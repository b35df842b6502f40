"""`/v1/organization/projects/{id}/rate_limits`: requests and tokens per minute, and tokens trained."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.errors import NotFoundError
from pennyweight.server.envelope import json_response
from pennyweight.server.organization_fields import NO_RATE_LIMIT, RATE_LIMIT
from pennyweight.server.organization_shapes import RATE_LIMIT_ID, list_object, rate_limit_object
from pennyweight.server.paging import read_page, read_query
from pennyweight.store.pages import CursorError, Page

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pennyweight.core import Allowance
    from pennyweight.server.organization import Office

_PATH = "/v1/organization/projects/{project_id}/rate_limits"


def rate_limit_routes(office: Office) -> APIRouter:
    """The routes over one office. Each project has one such limit, whether anything is limited or not."""
    router = APIRouter(tags=["organization"])
    database, organization = office.database, office.organization

    @router.get(_PATH, summary="How much a project may use per minute", response_model=None)
    async def list_all(request: Request) -> Response:
        own = request.path_params["project_id"]
        cursor = read_page(read_query(request, "after", "before", "limit"), most=100, default=100)
        allowance = await database.read(lambda link: organization.allowance(link, own))
        for param, seen_id in (("after", cursor.after), ("before", cursor.before)):
            if seen_id not in (None, RATE_LIMIT_ID):
                raise CursorError(param, str(seen_id))
        seen = RATE_LIMIT_ID in (cursor.after, cursor.before)
        page = Page([] if seen else [allowance], has_more=False)
        return json_response(list_object(page, rate_limit_object))

    @router.post(_PATH + "/{limit_id}", summary="Change how much a project may use", response_model=None)
    async def update(request: Request) -> Response:
        own, limit_id = request.path_params["project_id"], request.path_params["limit_id"]
        given = await office.fields(request, RATE_LIMIT)
        if limit_id != RATE_LIMIT_ID:
            raise NotFoundError(
                f"No rate limit has the id '{limit_id:.80}'; there is '{RATE_LIMIT_ID}', for all models.",
                param="rate_limit_id",
            )

        def work(link: Connection) -> Allowance:
            before = organization.allowance(link, own)
            changed = replace(
                before,
                requests_per_minute=_limit(given, "max_requests_per_1_minute", before.requests_per_minute),
                tokens_per_minute=_limit(given, "max_tokens_per_1_minute", before.tokens_per_minute),
                training_tokens=_limit(given, "max_training_tokens_per_1_month", before.training_tokens),
            )
            organization.allowances.put(link, changed)
            return changed

        return json_response(rate_limit_object(await database.write(work, at="rate_limit.set")))

    return router


def _limit(given: Mapping[str, Any], name: str, before: int | None) -> int | None:
    value: int | None = given.get(name, before)
    return None if value == NO_RATE_LIMIT else value
