"""`/v1/threads/{id}/runs`: an assistant answers a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.scopes import MODEL_REQUEST
from pennyweight.history.assistants.following import told
from pennyweight.history.assistants.run_fields import CREATE_RUN, CREATE_THREAD_AND_RUN, SUBMIT_OUTPUTS
from pennyweight.history.assistants.run_object import run_object
from pennyweight.history.assistants.run_step_object import run_step_object
from pennyweight.history.assistants.thread_object import thread_object
from pennyweight.history.metadata import read_metadata_change
from pennyweight.history.metadata_fields import METADATA_FIELDS
from pennyweight.server.auth import check_scope, principal_of
from pennyweight.server.body import read_object, read_object_or_nothing
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi_bodies import json_body
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import LIST_QUERY, read_page, read_query
from pennyweight.server.routes.assistants import LISTED, MAX_LISTED
from pennyweight.server.sse import EventStream
from pennyweight.server.thread_events import ThreadWire

if TYPE_CHECKING:
    from pennyweight.answers.principal import Principal
    from pennyweight.history.assistants.run_queue import RunQueue
    from pennyweight.quota.accounts import RequestAccount
    from pennyweight.server.routes.chat import ChatLimits
    from pennyweight.store.runs import Run

_RUNS = "/v1/threads/{thread_id}/runs"
_ONE = f"{_RUNS}/{{run_id}}"
_POLL = {"openai-poll-after-ms": "200"}  # what a client's polling waits


def run_routes(queue: RunQueue, limits: ChatLimits) -> APIRouter:
    """The routes over one queue of runs."""
    router = APIRouter(tags=["assistants"])
    most = limits.max_body_bytes

    @router.post(
        "/v1/threads/runs",
        summary="Create a thread and run it",
        response_model=None,
        openapi_extra=json_body(CREATE_THREAD_AND_RUN),
    )
    async def create_with_thread(request: Request) -> Response:
        principal = _asking(request)
        values = CREATE_THREAD_AND_RUN.read(await read_object(request, limit=most))
        thread, run = await queue.create_with_thread(principal, values)
        if values.get("stream"):
            return _stream(queue, run, limits, told("thread.created", thread_object(thread)), *_begun(run))
        return json_response(run_object(run))

    @router.post(_RUNS, summary="Run a thread", response_model=None, openapi_extra=json_body(CREATE_RUN))
    async def create(request: Request) -> Response:
        principal = _asking(request)
        values = CREATE_RUN.read(await read_object(request, limit=most))
        read_query(request, "include[]")
        run = await queue.create(principal, request.path_params["thread_id"], values)
        if values.get("stream"):
            return _stream(queue, run, limits, *_begun(run))
        return json_response(run_object(run))

    @router.post(
        f"{_ONE}/submit_tool_outputs",
        summary="Give the results of tools",
        response_model=None,
        openapi_extra=json_body(SUBMIT_OUTPUTS),
    )
    async def submit_outputs(request: Request) -> Response:
        principal = _asking(request)
        values = SUBMIT_OUTPUTS.read(await read_object(request, limit=most))
        run, steps = await queue.give_outputs(principal, *_ids(request), values)
        if values.get("stream"):
            done = [told("thread.run.step.completed", run_step_object(step, run)) for step in steps]
            return _stream(queue, run, limits, *done, told("thread.run.queued", run_object(run)))
        return json_response(run_object(run))

    _add_looking_and_changing(router, queue, most)
    return router


def _add_looking_and_changing(router: APIRouter, queue: RunQueue, most: int) -> None:
    @router.get(_RUNS, summary="List runs", response_model=None)
    async def list_runs(request: Request) -> Response:
        page = read_page(read_query(request, *LIST_QUERY), most=MAX_LISTED, default=LISTED)
        found = await queue.page(principal_of(request).project, request.path_params["thread_id"], page)
        return json_response(list_object(found, run_object))

    @router.get(_ONE, summary="Retrieve a run", response_model=None)
    async def retrieve(request: Request) -> Response:
        run = await queue.get(principal_of(request).project, *_ids(request))
        return json_response(run_object(run), headers=_POLL)

    @router.post(
        _ONE,
        summary="Change a run's metadata",
        response_model=None,
        openapi_extra=json_body(METADATA_FIELDS),
    )
    async def change(request: Request) -> Response:
        metadata = read_metadata_change(await read_object_or_nothing(request, limit=most))
        project = principal_of(request).project
        run = await queue.set_metadata(project, *_ids(request), metadata)
        return json_response(run_object(run))

    @router.post(f"{_ONE}/cancel", summary="Cancel a run", response_model=None)
    async def cancel(request: Request) -> Response:
        run = await queue.cancel(principal_of(request), *_ids(request))
        return json_response(run_object(run))


def _asking(request: Request) -> Principal:
    """Who asks, and the request counted. Beside the right to change threads it needs that to ask models.

    Raises PermissionDeniedError, RateLimitError.
    """
    principal = principal_of(request)
    check_scope(principal, MODEL_REQUEST)
    # Tokens and money are charged when the worker asks the model.
    account: RequestAccount = request.state.accounts.of(principal, model="", kind="completions")
    request.state.account = account
    account.begin()
    return principal


def _begun(run: Run) -> tuple[dict[str, Any], dict[str, Any]]:
    body = run_object(run)
    return told("thread.run.created", body), told("thread.run.queued", body)


def _stream(queue: RunQueue, run: Run, limits: ChatLimits, *first: dict[str, Any]) -> Response:
    return EventStream(queue.follow(run, first), ping_s=limits.ping_s, wire=ThreadWire())


def _ids(request: Request) -> tuple[str, str]:
    return request.path_params["thread_id"], request.path_params["run_id"]
