"""`/v1/chat/completions`, read: what was answered and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.history.item_pages import page_of_wires
from pennyweight.history.metadata_fields import METADATA_FIELDS, read_label
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import read_metadata, read_page, read_query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.history.chats import Chats
    from pennyweight.store.pages import Cursor

_PATH: Final = "/v1/chat/completions"
_ONE: Final = _PATH + "/{completion_id}"
_BODY = {"content": {"application/json": {"schema": METADATA_FIELDS.schema}}, "required": True}


def stored_chat_routes(chats: Chats, *, max_body_bytes: int) -> APIRouter:
    """The routes over what is kept."""
    router = APIRouter(tags=["chat"])

    @router.get(_PATH, summary="List stored completions", response_model=None)
    async def list_chats(request: Request) -> Response:
        query = read_query(request, "after", "limit", "model", "order", "metadata")
        metadata = read_metadata(query)
        project = principal_of(request).project
        page = await chats.page(project, _cursor(query), model=query.get("model"), metadata=metadata)
        return json_response(list_object(page, lambda chat: chat))

    @router.get(_ONE, summary="Retrieve a stored completion", response_model=None)
    async def retrieve(request: Request) -> Response:
        return json_response(await chats.get(*_named(request)))

    @router.post(
        _ONE, summary="Label a stored completion", response_model=None, openapi_extra={"requestBody": _BODY}
    )
    async def label(request: Request) -> Response:
        metadata = read_label(await read_object(request, limit=max_body_bytes))
        return json_response(await chats.set_metadata(*_named(request), metadata))

    @router.delete(_ONE, summary="Delete a stored completion", response_model=None)
    async def delete(request: Request) -> Response:
        project, chat_id = _named(request)
        await chats.delete(project, chat_id)
        return json_response({"id": chat_id, "object": "chat.completion.deleted", "deleted": True})

    @router.get(f"{_ONE}/messages", summary="List the messages of a stored completion", response_model=None)
    async def messages(request: Request) -> Response:
        cursor = _cursor(read_query(request, "after", "limit", "order"))
        found = await chats.messages(*_named(request))
        return json_response(list_object(page_of_wires(found, cursor), lambda message: message))

    return router


def _named(request: Request) -> tuple[str, str]:
    """The project and the completion."""
    return principal_of(request).project, request.path_params["completion_id"]


def _cursor(query: Mapping[str, str]) -> Cursor:
    """Oldest first, unless told otherwise."""
    return read_page(query, most=100, default=20, order="asc")
