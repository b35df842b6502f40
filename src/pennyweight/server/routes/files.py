"""`/v1/files`: what people upload and what jobs write, by project."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from pennyweight.answers.fields import OneOf
from pennyweight.server.auth import principal_of
from pennyweight.server.envelope import json_response
from pennyweight.server.file_shapes import deleted_object, file_object
from pennyweight.server.openapi_files import UPLOAD_BODY
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import read_page, read_query
from pennyweight.server.upload import MAX_FILE_BYTES, PURPOSES, receive_upload
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.identifiers import new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pennyweight.server.services import Services

_MAX_LISTED = 10_000
_CHUNK_BYTES = 2**18
_LISTED_PURPOSES = OneOf((*PURPOSES, "batch_output", "fine-tune-results", "assistants_output"))


def file_routes(services: Services) -> APIRouter:
    """The routes over one store."""
    router = APIRouter(prefix="/v1/files", tags=["files"])
    database, blobs, files = services.database, services.blobs, Files()

    @router.post("", summary="Upload a file", response_model=None, openapi_extra={"requestBody": UPLOAD_BODY})
    async def upload(request: Request) -> Response:
        project = principal_of(request).project
        with blobs.receive(project, max_bytes=MAX_FILE_BYTES) as incoming:
            uploaded = await receive_upload(request, incoming)
            blob = await asyncio.to_thread(incoming.finish)
            now = int(time.time())
            file = StoredFile(
                id=new_id("file-"),
                project_id=project,
                filename=uploaded.filename,
                purpose=uploaded.purpose,
                num_bytes=blob.num_bytes,
                created_at=now,
                expires_at=None if uploaded.expires_after is None else now + uploaded.expires_after,
            )
            await database.write(lambda connection: files.add(connection, file, blob), at="file.added")
        return json_response(file_object(file))

    @router.get("", summary="List files", response_model=None)
    async def list_files(request: Request) -> Response:
        query = read_query(request, "after", "limit", "order", "purpose")
        page = read_page(query, most=_MAX_LISTED, default=_MAX_LISTED)
        purpose = query.get("purpose")
        if purpose is not None:
            _LISTED_PURPOSES.read(purpose, "purpose")
        project, now = principal_of(request).project, int(time.time())
        found = await database.read(
            lambda connection: files.page(connection, project, page, now=now, purpose=purpose)
        )
        return json_response(list_object(found, file_object))

    @router.get("/{file_id}", summary="Retrieve a file's description", response_model=None)
    async def retrieve(request: Request) -> Response:
        file_id: str = request.path_params["file_id"]
        project, now = principal_of(request).project, int(time.time())
        file = await database.read(lambda connection: files.get(connection, project, file_id, now=now))
        return json_response(file_object(file))

    _add_content_and_deletion(router, services)
    return router


def _add_content_and_deletion(router: APIRouter, services: Services) -> None:
    database, blobs, files = services.database, services.blobs, Files()

    @router.get("/{file_id}/content", summary="Retrieve a file's content", response_model=None)
    async def content(request: Request) -> Response:
        file_id: str = request.path_params["file_id"]
        project, now = principal_of(request).project, int(time.time())
        file, blob = await database.read(
            lambda connection: files.content(connection, project, file_id, now=now)
        )
        headers = {
            "content-length": str(file.num_bytes),
            "content-disposition": f"attachment; filename*=UTF-8''{quote(file.filename)}",
        }
        try:
            opened = blobs.open(blob)  # stays readable while it is sent, even if it is deleted meanwhile
        except FileNotFoundError:  # deleted since it was looked up, which is said as it is of any such file
            await database.read(lambda connection: files.get(connection, project, file_id, now=now))
            raise
        return StreamingResponse(_chunks(opened), headers=headers, media_type="application/octet-stream")

    @router.delete("/{file_id}", summary="Delete a file", response_model=None)
    async def delete(request: Request) -> Response:
        file_id: str = request.path_params["file_id"]
        project, now = principal_of(request).project, int(time.time())
        unused = await database.write(
            lambda connection: files.delete(connection, project, file_id, now=now), at="file.deleted"
        )
        for blob in unused:
            await asyncio.to_thread(blobs.collect, blob)
        return json_response(deleted_object(file_id))


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK_BYTES):
            yield chunk
