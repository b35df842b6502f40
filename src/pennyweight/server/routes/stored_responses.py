"""`/v1/responses/{id}`: what was answered and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.fields import ParameterError
from pennyweight.server.auth import principal_of
from pennyweight.server.background import followed_stream
from pennyweight.server.envelope import json_response
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import check_included, read_flag, read_number, read_page, read_query

if TYPE_CHECKING:
    from pennyweight.history.background import Background
    from pennyweight.history.responses import Responses

_ONE = "/v1/responses/{response_id}"
_MOST_ITEMS = 100
_ITEMS = 20


def stored_response_routes(responses: Responses, background: Background, *, ping_s: float) -> APIRouter:
    """The routes over what is kept."""
    router = APIRouter(tags=["responses"])

    @router.get(_ONE, summary="Retrieve a response", response_model=None)
    async def retrieve(request: Request) -> Response:
        query = read_query(request, "include", "include[]", "include_obfuscation", "starting_after", "stream")
        check_included(request)
        if read_flag(query, "stream"):
            after = read_number(query, "starting_after", default=-1)
            events = await background.followed(*_named(request), after=after)
            return followed_stream(events, ping_s=ping_s)
        if "starting_after" in query:
            message = "'starting_after' is only allowed when 'stream' is true."
            raise ParameterError(message, param="starting_after", code="invalid_parameter_combination")
        return json_response(await responses.get(*_named(request)))

    @router.delete(_ONE, summary="Delete a response", response_model=None)
    async def delete(request: Request) -> Response:
        project, response_id = _named(request)
        await responses.delete(project, response_id)
        background.drop(response_id)
        return json_response({"id": response_id, "object": "response", "deleted": True})

    @router.post(f"{_ONE}/cancel", summary="Cancel a response in the background", response_model=None)
    async def cancel(request: Request) -> Response:
        return json_response(await background.cancel(*_named(request)))

    @router.get(f"{_ONE}/input_items", summary="List what a response was given", response_model=None)
    async def input_items(request: Request) -> Response:
        query = read_query(request, "after", "limit", "order", "include", "include[]")
        check_included(request)
        cursor = read_page(query, most=_MOST_ITEMS, default=_ITEMS)
        page = await responses.input_items(*_named(request), cursor)
        return json_response(list_object(page, lambda item: item))

    return router


def _named(request: Request) -> tuple[str, str]:
    """The project and the response."""
    return principal_of(request).project, request.path_params["response_id"]
