"""`/v1/threads/{id}/messages`: what people and runs said in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.history.assistants.message_fields import CREATE_MESSAGE
from pennyweight.history.assistants.message_object import message_object
from pennyweight.history.metadata import read_metadata_change
from pennyweight.history.metadata_fields import METADATA_FIELDS
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object, read_object_or_nothing
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi_bodies import json_body
from pennyweight.server.organization_shapes import deleted_object, list_object
from pennyweight.server.paging import LIST_QUERY, read_page, read_query
from pennyweight.server.routes.assistants import LISTED, MAX_LISTED
from pennyweight.store.thread_messages import ThreadMessages
from pennyweight.store.threads import Threads

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.history.assistants.thread_shelf import ThreadShelf
    from pennyweight.store.database import Database
    from pennyweight.store.pages import Page
    from pennyweight.store.thread_messages import ThreadMessage

_ONE = "/{message_id}"


def thread_message_routes(database: Database, shelf: ThreadShelf, *, max_body_bytes: int) -> APIRouter:
    """The routes over one store."""
    router = APIRouter(prefix="/v1/threads/{thread_id}/messages", tags=["assistants"])
    threads, messages = Threads(), ThreadMessages()

    @router.post("", summary="Create a message", response_model=None, openapi_extra=json_body(CREATE_MESSAGE))
    async def create(request: Request) -> Response:
        values = CREATE_MESSAGE.read(await read_object(request, limit=max_body_bytes))
        thread_id: str = request.path_params["thread_id"]
        message = await shelf.add_message(principal_of(request).project, thread_id, values)
        return json_response(message_object(message))

    @router.get("", summary="List messages", response_model=None)
    async def list_messages(request: Request) -> Response:
        thread_id: str = request.path_params["thread_id"]
        query = read_query(request, *LIST_QUERY, "run_id")
        page = read_page(query, most=MAX_LISTED, default=LISTED)
        project = principal_of(request).project

        def work(connection: Connection) -> Page[ThreadMessage]:
            threads.get(connection, project, thread_id)
            return messages.page(connection, thread_id, page, run_id=query.get("run_id"))

        return json_response(list_object(await database.read(work), message_object))

    _add_single_messages(router, database, max_body_bytes=max_body_bytes)
    return router


def _add_single_messages(router: APIRouter, database: Database, *, max_body_bytes: int) -> None:
    threads, messages = Threads(), ThreadMessages()

    @router.get(_ONE, summary="Retrieve a message", response_model=None)
    async def retrieve(request: Request) -> Response:
        thread_id, message_id = _ids(request)
        project = principal_of(request).project

        def work(connection: Connection) -> ThreadMessage:
            threads.get(connection, project, thread_id)
            return messages.get(connection, thread_id, message_id)

        return json_response(message_object(await database.read(work)))

    @router.post(
        _ONE,
        summary="Change a message's metadata",
        response_model=None,
        openapi_extra=json_body(METADATA_FIELDS),
    )
    async def change(request: Request) -> Response:
        thread_id, message_id = _ids(request)
        metadata = read_metadata_change(await read_object_or_nothing(request, limit=max_body_bytes))
        project = principal_of(request).project

        def work(connection: Connection) -> ThreadMessage:
            threads.get(connection, project, thread_id)
            if metadata is not None:
                messages.set_metadata(connection, thread_id, message_id, metadata)
            return messages.get(connection, thread_id, message_id)

        return json_response(message_object(await database.write(work, at="message.labelled")))

    @router.delete(_ONE, summary="Delete a message", response_model=None)
    async def delete(request: Request) -> Response:
        thread_id, message_id = _ids(request)
        project = principal_of(request).project

        def work(connection: Connection) -> None:
            threads.get(connection, project, thread_id)
            messages.remove(connection, project, thread_id, message_id)

        await database.write(work, at="message.deleted")
        return json_response(deleted_object("thread.message", message_id))


def _ids(request: Request) -> tuple[str, str]:
    return request.path_params["thread_id"], request.path_params["message_id"]
