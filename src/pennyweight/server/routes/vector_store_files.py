"""`/v1/vector_stores/{id}/files` and `.../file_batches`: what is in a vector store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.fields import OneOf, missing
from pennyweight.retrieval.store_fields import (
    ADD_BATCH,
    ADD_FILE,
    UPDATE_FILE,
    files_alike,
    read_batch_files,
)
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import read_page, read_query
from pennyweight.server.routes.vector_stores import LISTED, MAX_LISTED
from pennyweight.server.vector_store_shapes import (
    batch_object,
    content_page,
    deleted_object,
    store_file_object,
)
from pennyweight.store.identifiers import new_id
from pennyweight.store.vector_store import FileState
from pennyweight.store.vector_store_files import VectorStoreBatches, VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from sqlalchemy import Connection

    from pennyweight.server.routes.vector_stores import Retrieval
    from pennyweight.store.database import Database
    from pennyweight.store.vector_store import NewStoreFile, StoreBatch, StoreFile, VectorStore

    T = TypeVar("T")

_STATES = OneOf(("in_progress", "completed", "failed", "cancelled"))
_STORE = "/v1/vector_stores/{vector_store_id}"


class _Inside:
    """Reads and writes in the store that a request names, which must be its project's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, request: Request, work: Callable[[Connection, VectorStore], T]) -> T:
        return await self._database.read(_in_store(request, work))

    async def write(self, request: Request, work: Callable[[Connection, VectorStore], T], *, at: str) -> T:
        return await self._database.write(_in_store(request, work), at=at)


def _in_store(request: Request, work: Callable[[Connection, VectorStore], T]) -> Callable[[Connection], T]:
    store_id: str = request.path_params["vector_store_id"]
    project = principal_of(request).project
    return lambda connection: work(connection, VectorStores().get(connection, project, store_id))


def vector_store_file_routes(retrieval: Retrieval) -> APIRouter:
    """The routes of files, one by one."""
    router = APIRouter(prefix=f"{_STORE}/files", tags=["vector stores"])
    inside, files, most = _Inside(retrieval.database), VectorStoreFiles(), retrieval.max_body_bytes

    @router.post(
        "", summary="Put a file into a vector store", response_model=None, openapi_extra=_body(ADD_FILE)
    )
    async def add(request: Request) -> Response:
        values, now = ADD_FILE.read(await read_object(request, limit=most)), int(time.time())
        (new,) = files_alike({**values, "file_ids": [values["file_id"]]})

        def put(connection: Connection, store: VectorStore) -> StoreFile:
            files.add(connection, store, [new], now=now)
            VectorStores().touch(connection, [store], now=now)
            return files.get(connection, store, new.id)

        file = await inside.write(request, put, at="vector_store_file.added")
        retrieval.worker.wake()
        return json_response(store_file_object(file))

    @router.get("", summary="List files of a vector store", response_model=None)
    async def list_files(request: Request) -> Response:
        return await _listed(request, inside)

    @router.get("/{file_id}", summary="Retrieve a file of a vector store", response_model=None)
    async def retrieve(request: Request) -> Response:
        file_id: str = request.path_params["file_id"]
        file = await inside.read(request, lambda link, store: files.get(link, store, file_id))
        return json_response(store_file_object(file))

    @router.post(
        "/{file_id}",
        summary="Change attributes of a file",
        response_model=None,
        openapi_extra=_body(UPDATE_FILE),
    )
    async def change(request: Request) -> Response:
        file_id: str = request.path_params["file_id"]
        body = await read_object(request, limit=most)
        if "attributes" not in body:
            raise missing("attributes")
        values = {"attributes": None} if body == {"attributes": None} else UPDATE_FILE.read(body)
        file = await inside.write(
            request,
            lambda link, store: files.set_attributes(link, store, file_id, values["attributes"]),
            at="vector_store_file.changed",
        )
        return json_response(store_file_object(file))

    _add_content_and_removal(router, retrieval)
    return router


def _add_content_and_removal(router: APIRouter, retrieval: Retrieval) -> None:
    inside, files = _Inside(retrieval.database), VectorStoreFiles()

    @router.get("/{file_id}/content", summary="Retrieve the text of a file", response_model=None)
    async def content(request: Request) -> Response:
        file_id: str = request.path_params["file_id"]
        texts = await inside.read(
            request, lambda link, store: files.texts(link, files.get(link, store, file_id))
        )
        return json_response(content_page(texts))

    @router.delete("/{file_id}", summary="Take a file out of a vector store", response_model=None)
    async def remove(request: Request) -> Response:
        file_id: str = request.path_params["file_id"]
        await inside.write(
            request, lambda link, store: files.remove(link, store, file_id), at="vector_store_file.removed"
        )
        retrieval.worker.wake()
        return json_response(deleted_object(file_id, "vector_store.file"))


def vector_store_batch_routes(retrieval: Retrieval) -> APIRouter:
    """The routes of files, many at once."""
    router = APIRouter(prefix=f"{_STORE}/file_batches", tags=["vector stores"])
    inside, batches = _Inside(retrieval.database), VectorStoreBatches()

    @router.post(
        "", summary="Put files into a vector store", response_model=None, openapi_extra=_body(ADD_BATCH)
    )
    async def create(request: Request) -> Response:
        values = ADD_BATCH.read(await read_object(request, limit=retrieval.max_body_bytes))
        new, now = read_batch_files(values), int(time.time())
        batch = await inside.write(
            request, lambda link, store: _added(link, store, new, now), at="vector_store_batch.added"
        )
        retrieval.worker.wake()
        return json_response(batch_object(batch))

    @router.get("/{batch_id}", summary="Retrieve a batch of files", response_model=None)
    async def retrieve(request: Request) -> Response:
        batch_id: str = request.path_params["batch_id"]
        batch = await inside.read(request, lambda link, store: batches.get(link, store, batch_id))
        return json_response(batch_object(batch))

    @router.post("/{batch_id}/cancel", summary="Cancel a batch of files", response_model=None)
    async def cancel(request: Request) -> Response:
        batch_id: str = request.path_params["batch_id"]
        batch = await inside.write(
            request,
            lambda link, store: batches.cancel(link, store, batch_id),
            at="vector_store_batch.cancelled",
        )
        retrieval.worker.wake()
        return json_response(batch_object(batch))

    @router.get("/{batch_id}/files", summary="List files of a batch", response_model=None)
    async def list_files(request: Request) -> Response:
        batch_id: str = request.path_params["batch_id"]
        await inside.read(request, lambda link, store: batches.get(link, store, batch_id))
        return await _listed(request, inside, batch_id=batch_id)

    return router


async def _listed(request: Request, inside: _Inside, *, batch_id: str | None = None) -> Response:
    query = read_query(request, "after", "before", "filter", "limit", "order")
    page = read_page(query, most=MAX_LISTED, default=LISTED)
    state = FileState(_STATES.read(query["filter"], "filter")) if "filter" in query else None
    found = await inside.read(
        request,
        lambda link, store: VectorStoreFiles().page(link, store, page, state=state, batch_id=batch_id),
    )
    return json_response(list_object(found, store_file_object))


def _added(connection: Connection, store: VectorStore, new: Sequence[NewStoreFile], now: int) -> StoreBatch:
    batch_id = new_id("vsfb_")
    VectorStoreBatches().add(connection, store, batch_id, now=now)
    VectorStoreFiles().add(connection, store, new, now=now, batch_id=batch_id)
    VectorStores().touch(connection, [store], now=now)
    return VectorStoreBatches().get(connection, store, batch_id)


def _body(fields: Any) -> dict[str, object]:
    return {"requestBody": {"content": {"application/json": {"schema": fields.schema}}, "required": True}}
