"""A request's body becomes one JSON object, once; whatever is wrong with it is a 400 or 413 that says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pennyweight.answers.json_body import read_json_object
from pennyweight.server.envelope import BodyTooLargeError

if TYPE_CHECKING:
    from starlette.requests import Request

_LARGE_BYTES = 2**18  # a few milliseconds of parsing: beyond them other requests must not wait


async def read_object(request: Request, *, limit: int) -> dict[str, object]:
    """The body as a dict. `limit` is in bytes and is enforced before the body is kept."""
    raw = await read_bytes(request, limit=limit)
    if len(raw) > _LARGE_BYTES:
        return await asyncio.to_thread(read_json_object, raw)
    return read_json_object(raw)


async def read_object_or_nothing(request: Request, *, limit: int) -> dict[str, object]:
    """As `read_object`, where a body may be left out altogether: it then has no fields."""
    raw = await read_bytes(request, limit=limit)
    return read_json_object(raw) if raw else {}


async def read_bytes(request: Request, *, limit: int) -> bytes:
    """The body as it came. Raises BodyTooLargeError, before more than `limit` bytes are kept."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > limit:
        raise _too_large(limit)
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > limit:
            raise _too_large(limit)
    return bytes(chunks)


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than this server's limit of {limit} bytes.")
