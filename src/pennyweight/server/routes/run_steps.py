"""`/v1/threads/{id}/runs/{id}/steps`: what a run did."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.fields import OneOf
from pennyweight.answers.passages import READS_STORES
from pennyweight.history.assistants.run_fields import RESULTS
from pennyweight.history.assistants.run_step_object import run_step_object
from pennyweight.server.auth import check_scope, principal_of
from pennyweight.server.envelope import json_response
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import LIST_QUERY, read_page, read_query
from pennyweight.server.routes.assistants import LISTED, MAX_LISTED
from pennyweight.store.run_steps import RunSteps

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.history.assistants.run_queue import RunQueue
    from pennyweight.store.database import Database
    from pennyweight.store.pages import Page
    from pennyweight.store.run_steps import RunStep

_INCLUDE = "include[]"
_INCLUDED = OneOf((RESULTS,))


def run_step_routes(database: Database, queue: RunQueue) -> APIRouter:
    """The routes over one store."""
    router = APIRouter(prefix="/v1/threads/{thread_id}/runs/{run_id}/steps", tags=["assistants"])
    steps = RunSteps()

    @router.get("", summary="List the steps of a run", response_model=None)
    async def list_steps(request: Request) -> Response:
        query = read_query(request, *LIST_QUERY, _INCLUDE)
        page = read_page(query, most=MAX_LISTED, default=LISTED)
        results = _wants_results(request)
        thread_id, run_id = request.path_params["thread_id"], request.path_params["run_id"]
        run = await queue.get(principal_of(request).project, thread_id, run_id)

        def work(connection: Connection) -> Page[RunStep]:
            return steps.page(connection, run_id, page)

        found = await database.read(work)
        return json_response(list_object(found, lambda step: run_step_object(step, run, results=results)))

    @router.get("/{step_id}", summary="Retrieve a step of a run", response_model=None)
    async def retrieve(request: Request) -> Response:
        read_query(request, _INCLUDE)
        results = _wants_results(request)
        thread_id, run_id = request.path_params["thread_id"], request.path_params["run_id"]
        run = await queue.get(principal_of(request).project, thread_id, run_id)
        step_id: str = request.path_params["step_id"]
        step = await database.read(lambda connection: steps.get(connection, run_id, step_id))
        return json_response(run_step_object(step, run, results=results))

    return router


def _wants_results(request: Request) -> bool:
    """Whether passages are asked for, which are parts of files whoever made the run.

    Raises ParameterError for any other thing to include, PermissionDeniedError without the right to search.
    """
    named = request.query_params.getlist(_INCLUDE)
    for name in named:
        _INCLUDED.read(name, "include")
    if named:
        check_scope(principal_of(request), READS_STORES)
    return bool(named)
