"""`/v1/batches`: many requests in one file, answered within a day, by project."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.answers.scopes import MODEL_REQUEST
from pennyweight.jobs.batch_request import BATCH_FIELDS, WINDOW_S
from pennyweight.jobs.new_batch import add_batch
from pennyweight.server.auth import check_scope, principal_of
from pennyweight.server.batch_shapes import batch_object
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import read_page, read_query
from pennyweight.store.batches import Batches, NewBatch
from pennyweight.store.identifiers import new_id

if TYPE_CHECKING:
    from pennyweight.jobs.batch_worker import BatchWorker
    from pennyweight.jobs.new_batch import QueueLimits
    from pennyweight.server.services import Services

_MAX_LISTED = 100
_LISTED = 20
_BODY = {"content": {"application/json": {"schema": BATCH_FIELDS.schema}}, "required": True}


def batch_routes(
    services: Services, worker: BatchWorker, limits: QueueLimits, *, max_body_bytes: int
) -> APIRouter:
    """The routes over one store; `worker` is told of what is new."""
    router = APIRouter(prefix="/v1/batches", tags=["batches"])
    database, batches = services.database, Batches()

    @router.post("", summary="Create a batch", response_model=None, openapi_extra={"requestBody": _BODY})
    async def create(request: Request) -> Response:
        principal, now = principal_of(request), int(time.time())
        check_scope(principal, MODEL_REQUEST)  # beside the right to make batches: its lines ask a model
        values = BATCH_FIELDS.read(await read_object(request, limit=max_body_bytes))
        new = NewBatch(
            id=new_id("batch_"),
            project_id=principal.project,
            key_id=principal.key,
            endpoint=values["endpoint"],
            input_file_id=values["input_file_id"],
            created_at=now,
            expires_at=now + WINDOW_S,
            metadata=values.get("metadata"),
            output_expires_after=values.get("output_expires_after"),
        )
        batch = await database.write(lambda connection: add_batch(connection, new, limits), at="batch.added")
        worker.wake()
        return json_response(batch_object(batch))

    @router.get("", summary="List batches", response_model=None)
    async def list_batches(request: Request) -> Response:
        page = read_page(read_query(request, "after", "limit"), most=_MAX_LISTED, default=_LISTED)
        project = principal_of(request).project
        found = await database.read(lambda connection: batches.page(connection, project, page))
        return json_response(list_object(found, batch_object))

    @router.get("/{batch_id}", summary="Retrieve a batch", response_model=None)
    async def retrieve(request: Request) -> Response:
        batch_id: str = request.path_params["batch_id"]
        project = principal_of(request).project
        batch = await database.read(lambda connection: batches.get(connection, project, batch_id))
        return json_response(batch_object(batch))

    @router.post("/{batch_id}/cancel", summary="Cancel a batch", response_model=None)
    async def cancel(request: Request) -> Response:
        batch_id: str = request.path_params["batch_id"]
        project, now = principal_of(request).project, int(time.time())
        batch = await database.write(
            lambda connection: batches.cancel(connection, project, batch_id, now=now), at="batch.cancelling"
        )
        worker.wake()
        return json_response(batch_object(batch))

    return router
