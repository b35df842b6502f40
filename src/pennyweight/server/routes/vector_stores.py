"""`/v1/vector_stores`: stores of text that is found again, by project, and searching them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.retrieval.search_fields import SEARCH_FIELDS, read_search
from pennyweight.retrieval.store_fields import CREATE_STORE, UPDATE_STORE, files_alike
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import read_page, read_query
from pennyweight.server.vector_store_shapes import deleted_object, search_page, store_object
from pennyweight.store.identifiers import new_id
from pennyweight.store.vector_store import NewVectorStore
from pennyweight.store.vector_store_files import VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.retrieval.ingestion import IngestionWorker
    from pennyweight.retrieval.search import Searcher
    from pennyweight.store.database import Database
    from pennyweight.store.vector_store import VectorStore

MAX_LISTED = 100
LISTED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieval:
    """What the routes of vector stores share; `worker` is told of what is new."""

    database: Database
    worker: IngestionWorker
    searcher: Searcher
    max_body_bytes: int


def vector_store_routes(retrieval: Retrieval) -> APIRouter:
    """The routes over one store."""
    router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"])
    database, stores, worker = retrieval.database, VectorStores(), retrieval.worker
    most = retrieval.max_body_bytes

    @router.post(
        "", summary="Create a vector store", response_model=None, openapi_extra=_body(CREATE_STORE.schema)
    )
    async def create(request: Request) -> Response:
        now = int(time.time())
        values = CREATE_STORE.read(await read_object(request, limit=most))
        new = NewVectorStore(
            id=new_id("vs_"),
            project_id=principal_of(request).project,
            created_at=now,
            name=values.get("name", ""),
            description=values.get("description"),
            metadata=values.get("metadata", {}),
            expires_after_days=values.get("expires_after"),
        )

        def add(connection: Connection) -> VectorStore:
            made = stores.add(connection, new)
            VectorStoreFiles().add(connection, made, files_alike(values), now=now)
            return stores.get(connection, new.project_id, new.id)

        store = await database.write(add, at="vector_store.added")
        worker.wake()
        return json_response(store_object(store, now=now))

    @router.get("", summary="List vector stores", response_model=None)
    async def list_stores(request: Request) -> Response:
        query = read_query(request, "after", "before", "limit", "order")
        page = read_page(query, most=MAX_LISTED, default=LISTED)
        project, now = principal_of(request).project, int(time.time())
        found = await database.read(lambda connection: stores.page(connection, project, page))
        return json_response(list_object(found, lambda store: store_object(store, now=now)))

    @router.get("/{vector_store_id}", summary="Retrieve a vector store", response_model=None)
    async def retrieve(request: Request) -> Response:
        store_id: str = request.path_params["vector_store_id"]
        project, now = principal_of(request).project, int(time.time())
        store = await database.read(lambda connection: stores.get(connection, project, store_id))
        return json_response(store_object(store, now=now))

    _add_changes(router, retrieval)
    return router


def _add_changes(router: APIRouter, retrieval: Retrieval) -> None:
    database, stores = retrieval.database, VectorStores()
    searcher, most = retrieval.searcher, retrieval.max_body_bytes

    @router.post(
        "/{vector_store_id}",
        summary="Change a vector store",
        response_model=None,
        openapi_extra=_body(UPDATE_STORE.schema),
    )
    async def change(request: Request) -> Response:
        store_id: str = request.path_params["vector_store_id"]
        project, now = principal_of(request).project, int(time.time())
        values = UPDATE_STORE.read(await read_object(request, limit=most))
        if "expires_after" in values:
            values["expires_after_days"] = values.pop("expires_after")
        store = await database.write(
            lambda connection: stores.update(connection, project, store_id, values, now=now),
            at="vector_store.changed",
        )
        return json_response(store_object(store, now=now))

    @router.delete("/{vector_store_id}", summary="Delete a vector store", response_model=None)
    async def delete(request: Request) -> Response:
        store_id: str = request.path_params["vector_store_id"]
        project = principal_of(request).project
        await database.write(
            lambda connection: stores.delete(connection, project, store_id), at="vector_store.deleted"
        )
        retrieval.worker.wake()
        return json_response(deleted_object(store_id, "vector_store"))

    @router.post(
        "/{vector_store_id}/search",
        summary="Search a vector store",
        response_model=None,
        openapi_extra=_body(SEARCH_FIELDS.schema),
    )
    async def search(request: Request) -> Response:
        store_id: str = request.path_params["vector_store_id"]
        wanted = read_search(SEARCH_FIELDS.read(await read_object(request, limit=most)))
        passages = await searcher.search(principal_of(request), [store_id], wanted)
        return json_response(search_page(wanted.queries, passages))


def _body(schema: dict[str, object]) -> dict[str, object]:
    return {"requestBody": {"content": {"application/json": {"schema": schema}}, "required": True}}
