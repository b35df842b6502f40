"""A request's body becomes one JSON object, once; whatever is wrong with it is a 400 or 413 that says so."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, NoReturn

from pennyweight.errors import InvalidRequestError
from pennyweight.server.envelope import BodyTooLargeError

if TYPE_CHECKING:
    from starlette.requests import Request

_LARGE_CHARS = 2**18  # a few milliseconds of parsing: beyond them other requests must not wait


async def read_object(request: Request, *, limit: int) -> dict[str, object]:
    """The body as a dict. `limit` is in bytes and is enforced before the body is kept."""
    raw = await read_bytes(request, limit=limit)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"The body is not UTF-8 text: byte {error.start} is wrong.") from error
    try:
        body = await asyncio.to_thread(_loads, text) if len(text) > _LARGE_CHARS else _loads(text)
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"The body is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise InvalidRequestError("The body is not valid JSON: it is nested too deeply.") from error
    except ValueError as error:  # a number of thousands of digits
        raise InvalidRequestError(f"The body is not valid JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidRequestError("The body must be a JSON object.")
    return body


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


def _loads(text: str) -> object:
    return json.loads(text, parse_constant=_refuse_constant)


def _too_large(limit: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"The body is larger than this server's limit of {limit} bytes.")


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidRequestError(f"The body is not valid JSON: it has the number {name}.")
