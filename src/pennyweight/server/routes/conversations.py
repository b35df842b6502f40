"""`/v1/conversations`: conversations that responses are given in, and their items."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.responses_input import check_items
from pennyweight.history.conversation_fields import CONVERSATION_FIELDS, ITEMS_FIELDS
from pennyweight.history.conversations import conversation_object
from pennyweight.history.metadata_fields import METADATA_FIELDS, read_label
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.ignored import ignored_headers
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import check_included, read_page, read_query
from pennyweight.store.pages import Page

if TYPE_CHECKING:
    from typing import Any

    from pennyweight.answers.field_tables import FieldTables
    from pennyweight.history.conversations import ConversationShelf

_PATH: Final = "/v1/conversations"
_ONE: Final = _PATH + "/{conversation_id}"
_ITEMS: Final = _ONE + "/items"
_ITEM: Final = _ITEMS + "/{item_id}"


def conversation_routes(shelf: ConversationShelf, *, max_body_bytes: int) -> APIRouter:
    """The routes over what is kept."""
    router = APIRouter(tags=["conversations"])

    @router.post(
        _PATH, summary="Make a conversation", response_model=None, openapi_extra=_of(CONVERSATION_FIELDS)
    )
    async def create(request: Request) -> Response:
        values = CONVERSATION_FIELDS.read(await read_object(request, limit=max_body_bytes))
        items, ignored = values.get("items", ()), set[str]()
        check_items(items, ignored=ignored)
        made = await shelf.create(principal_of(request).project, items, values.get("metadata", {}))
        return json_response(conversation_object(made), headers=ignored_headers(ignored))

    @router.get(_ONE, summary="Retrieve a conversation", response_model=None)
    async def retrieve(request: Request) -> Response:
        return json_response(conversation_object(await shelf.get(*_named(request))))

    @router.post(
        _ONE, summary="Label a conversation", response_model=None, openapi_extra=_of(METADATA_FIELDS)
    )
    async def label(request: Request) -> Response:
        metadata = read_label(await read_object(request, limit=max_body_bytes))
        return json_response(conversation_object(await shelf.set_metadata(*_named(request), metadata)))

    @router.delete(_ONE, summary="Delete a conversation", response_model=None)
    async def delete(request: Request) -> Response:
        project, conversation_id = _named(request)
        await shelf.delete(project, conversation_id)
        return json_response({"id": conversation_id, "object": "conversation.deleted", "deleted": True})

    _add_items(router, shelf, max_body_bytes=max_body_bytes)
    return router


def _add_items(router: APIRouter, shelf: ConversationShelf, *, max_body_bytes: int) -> None:
    @router.post(_ITEMS, summary="Append items", response_model=None, openapi_extra=_of(ITEMS_FIELDS))
    async def append(request: Request) -> Response:
        read_query(request, "include", "include[]")
        check_included(request)
        items = ITEMS_FIELDS.read(await read_object(request, limit=max_body_bytes))["items"]
        ignored = set[str]()
        check_items(items, ignored=ignored)
        added = await shelf.append(*_named(request), items)
        page = list_object(Page(added, has_more=False), lambda item: item)
        return json_response(page, headers=ignored_headers(ignored))

    @router.get(_ITEMS, summary="List the items of a conversation", response_model=None)
    async def list_items(request: Request) -> Response:
        query = read_query(request, "after", "limit", "order", "include", "include[]")
        check_included(request)
        page = await shelf.items(*_named(request), read_page(query, most=100, default=20))
        return json_response(list_object(page, lambda item: item))

    @router.get(_ITEM, summary="Retrieve an item", response_model=None)
    async def retrieve_item(request: Request) -> Response:
        read_query(request, "include", "include[]")
        check_included(request)
        return json_response(await shelf.item(*_named(request), request.path_params["item_id"]))

    @router.delete(_ITEM, summary="Remove an item from its conversation", response_model=None)
    async def remove(request: Request) -> Response:
        left = await shelf.remove(*_named(request), request.path_params["item_id"])
        return json_response(conversation_object(left))


def _of(tables: FieldTables) -> dict[str, Any]:
    return {"requestBody": {"content": {"application/json": {"schema": tables.schema}}, "required": True}}


def _named(request: Request) -> tuple[str, str]:
    """The project and the conversation."""
    return principal_of(request).project, request.path_params["conversation_id"]
