"""`/v1/assistants`: who answers runs, by project."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.served import AnsweringModel
from pennyweight.history.assistants.assistant_fields import CREATE_ASSISTANT, UPDATE_ASSISTANT, read_changes
from pennyweight.history.assistants.assistant_object import assistant_object
from pennyweight.history.assistants.new_stores import settled
from pennyweight.history.assistants.tool_resources import check_stores
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi_bodies import json_body
from pennyweight.server.organization_shapes import deleted_object, list_object
from pennyweight.server.paging import LIST_QUERY, read_page, read_query
from pennyweight.store.assistants import Assistant, Assistants
from pennyweight.store.identifiers import new_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.answers.exchange import Backend
    from pennyweight.store.database import Database

MAX_LISTED = 100
LISTED = 20


def assistant_routes(database: Database, backend: Backend, *, max_body_bytes: int) -> APIRouter:
    """The routes over one store; models must be `backend`'s."""
    router = APIRouter(prefix="/v1/assistants", tags=["assistants"])
    assistants = Assistants()

    @router.post(
        "", summary="Create an assistant", response_model=None, openapi_extra=json_body(CREATE_ASSISTANT)
    )
    async def create(request: Request) -> Response:
        settings = CREATE_ASSISTANT.read(await read_object(request, limit=max_body_bytes))
        project = principal_of(request).project
        backend.served.resolve(settings["model"], AnsweringModel, project)
        now = int(time.time())

        def work(connection: Connection) -> Assistant:
            resources = settled(connection, project, settings.get("tool_resources", {}), now=now)
            own = {**settings, "tool_resources": resources}
            new = Assistant(id=new_id("asst_"), settings=own, created_at=now)
            assistants.add(connection, project, new)
            return new

        return json_response(assistant_object(await database.write(work, at="assistant.made")))

    @router.get("", summary="List assistants", response_model=None)
    async def list_assistants(request: Request) -> Response:
        page = read_page(read_query(request, *LIST_QUERY), most=MAX_LISTED, default=LISTED)
        project = principal_of(request).project
        found = await database.read(lambda connection: assistants.page(connection, project, page))
        return json_response(list_object(found, assistant_object))

    @router.get("/{assistant_id}", summary="Retrieve an assistant", response_model=None)
    async def retrieve(request: Request) -> Response:
        own_id: str = request.path_params["assistant_id"]
        project = principal_of(request).project
        found = await database.read(lambda connection: assistants.get(connection, project, own_id))
        return json_response(assistant_object(found))

    _add_changes(router, database, backend, max_body_bytes=max_body_bytes)
    return router


def _add_changes(router: APIRouter, database: Database, backend: Backend, *, max_body_bytes: int) -> None:
    assistants = Assistants()

    @router.post(
        "/{assistant_id}",
        summary="Change an assistant",
        response_model=None,
        openapi_extra=json_body(UPDATE_ASSISTANT),
    )
    async def change(request: Request) -> Response:
        own_id: str = request.path_params["assistant_id"]
        changes = read_changes(await read_object(request, limit=max_body_bytes))
        project = principal_of(request).project
        if "model" in changes:
            backend.served.resolve(changes["model"], AnsweringModel, project)

        def work(connection: Connection) -> Assistant:
            check_stores(connection, project, changes.get("tool_resources") or {})
            return assistants.change(connection, project, own_id, changes)

        return json_response(assistant_object(await database.write(work, at="assistant.changed")))

    @router.delete("/{assistant_id}", summary="Delete an assistant", response_model=None)
    async def delete(request: Request) -> Response:
        own_id: str = request.path_params["assistant_id"]
        project = principal_of(request).project
        await database.write(
            lambda connection: assistants.delete(connection, project, own_id), at="assistant.deleted"
        )
        return json_response(deleted_object("assistant", own_id))
