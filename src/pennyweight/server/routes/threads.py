"""`/v1/threads`: conversations that runs answer, by project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.history.assistants.thread_fields import CREATE_THREAD, UPDATE_THREAD
from pennyweight.history.assistants.thread_object import thread_object
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object_or_nothing
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi_bodies import json_body
from pennyweight.server.organization_shapes import deleted_object

if TYPE_CHECKING:
    from pennyweight.history.assistants.run_queue import RunQueue
    from pennyweight.history.assistants.thread_shelf import ThreadShelf


def thread_routes(shelf: ThreadShelf, queue: RunQueue, *, max_body_bytes: int) -> APIRouter:
    """The routes over one store; `queue` has the runs."""
    router = APIRouter(prefix="/v1/threads", tags=["assistants"])

    @router.post("", summary="Create a thread", response_model=None, openapi_extra=json_body(CREATE_THREAD))
    async def create(request: Request) -> Response:
        values = CREATE_THREAD.read(await read_object_or_nothing(request, limit=max_body_bytes))
        thread = await shelf.create(principal_of(request).project, values)
        return json_response(thread_object(thread))

    @router.get("/{thread_id}", summary="Retrieve a thread", response_model=None)
    async def retrieve(request: Request) -> Response:
        thread = await shelf.get(principal_of(request).project, request.path_params["thread_id"])
        return json_response(thread_object(thread))

    @router.post(
        "/{thread_id}",
        summary="Change a thread",
        response_model=None,
        openapi_extra=json_body(UPDATE_THREAD),
    )
    async def change(request: Request) -> Response:
        values = UPDATE_THREAD.read(await read_object_or_nothing(request, limit=max_body_bytes))
        thread_id: str = request.path_params["thread_id"]
        thread = await shelf.change(principal_of(request).project, thread_id, values)
        return json_response(thread_object(thread))

    @router.delete("/{thread_id}", summary="Delete a thread", response_model=None)
    async def delete(request: Request) -> Response:
        thread_id: str = request.path_params["thread_id"]
        await queue.delete_thread(principal_of(request).project, thread_id)
        return json_response(deleted_object("thread", thread_id))

    return router
