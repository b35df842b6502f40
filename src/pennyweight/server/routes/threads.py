"""`/v1/threads`: conversations that runs answer, by project."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.history.assistants.thread_creation import create_thread
from pennyweight.history.assistants.thread_fields import CREATE_THREAD, UPDATE_THREAD
from pennyweight.history.assistants.thread_object import thread_object
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object_or_nothing
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi_bodies import json_body
from pennyweight.server.organization_shapes import deleted_object
from pennyweight.store.threads import Threads

if TYPE_CHECKING:
    from pennyweight.server.services import Services


def thread_routes(services: Services, *, max_body_bytes: int) -> APIRouter:
    """The routes over one store."""
    router = APIRouter(prefix="/v1/threads", tags=["assistants"])
    database, threads = services.database, Threads()

    @router.post("", summary="Create a thread", response_model=None, openapi_extra=json_body(CREATE_THREAD))
    async def create(request: Request) -> Response:
        values = CREATE_THREAD.read(await read_object_or_nothing(request, limit=max_body_bytes))
        project, now = principal_of(request).project, int(time.time())
        thread = await database.write(lambda connection: create_thread(connection, project, values, now))
        return json_response(thread_object(thread))

    @router.get("/{thread_id}", summary="Retrieve a thread", response_model=None)
    async def retrieve(request: Request) -> Response:
        thread_id: str = request.path_params["thread_id"]
        project = principal_of(request).project
        thread = await database.read(lambda connection: threads.get(connection, project, thread_id))
        return json_response(thread_object(thread))

    @router.post(
        "/{thread_id}",
        summary="Change a thread",
        response_model=None,
        openapi_extra=json_body(UPDATE_THREAD),
    )
    async def change(request: Request) -> Response:
        thread_id: str = request.path_params["thread_id"]
        values = UPDATE_THREAD.read(await read_object_or_nothing(request, limit=max_body_bytes))
        project = principal_of(request).project
        thread = await database.write(
            lambda connection: threads.change(
                connection,
                project,
                thread_id,
                metadata=values.get("metadata"),
                tool_resources=values.get("tool_resources"),
            )
        )
        return json_response(thread_object(thread))

    @router.delete("/{thread_id}", summary="Delete a thread", response_model=None)
    async def delete(request: Request) -> Response:
        thread_id: str = request.path_params["thread_id"]
        project = principal_of(request).project
        await database.write(lambda connection: threads.delete(connection, project, thread_id))
        return json_response(deleted_object("thread", thread_id))

    return router
