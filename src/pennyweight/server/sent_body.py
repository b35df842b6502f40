"""The body of a request that may be a repetition: what tells it from others, and its way on to the route.

JSON is read at once. A form may hold a file of half a gigabyte: it is hashed while it passes, and without its
boundary, which clients draw anew for every attempt.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from pennyweight.server.body import read_bytes
from pennyweight.server.upload import MAX_FORM_BYTES, boundary_of
from pennyweight.store.incoming import ContentTooLargeError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Message


class SentBody(Protocol):
    """`known` is the request's fingerprint; None: it is known when the body has been read."""

    known: str | None

    async def receive(self) -> Message:
        """For the route, as the server's own."""
        ...

    async def fingerprint(self) -> str:
        """Of the whole request; reads what is left of it. Raises ContentTooLargeError."""
        ...


class _Whole:
    """A body that has been read."""

    def __init__(self, request: Request, body: bytes) -> None:
        self._request = request
        self._body: bytes | None = body
        digest = _begun(request)
        digest.update(body)
        self._fingerprint = digest.hexdigest()
        self.known: str | None = self._fingerprint

    async def receive(self) -> Message:
        body, self._body = self._body, None
        if body is None:
            return await self._request.receive()
        return {"type": "http.request", "body": body, "more_body": False}

    async def fingerprint(self) -> str:
        return self._fingerprint


class _Form:
    """A form that is read by the route. Raises InvalidRequestError if it has no boundary."""

    known: str | None = None

    def __init__(self, request: Request) -> None:
        self._request = request
        self._delimiter = b"\r\n--" + boundary_of(request)  # no part can have it in itself
        self._digest = _begun(request)
        self._part = hashlib.sha256()
        self._left = b"\r\n"  # may be the beginning of a delimiter; the first one has no line before it
        self._num_bytes = 0
        self._more = True

    async def receive(self) -> Message:
        message = await self._request.receive()
        if message["type"] == "http.request":
            self._note(message.get("body", b""))
            self._more = message.get("more_body", False)
        else:
            self._more = False
        return message

    async def fingerprint(self) -> str:
        while self._more:
            await self.receive()
            if self._num_bytes > MAX_FORM_BYTES:
                raise ContentTooLargeError(f"The upload is larger than {MAX_FORM_BYTES} bytes.")
        self._part.update(self._left)
        self._left = b""
        digest = self._digest.copy()
        digest.update(self._part.digest())
        return digest.hexdigest()

    def _note(self, data: bytes) -> None:
        self._num_bytes += len(data)
        *whole, rest = (self._left + data).split(self._delimiter)
        for end in whole:
            self._part.update(end)
            self._digest.update(self._part.digest())
            self._part = hashlib.sha256()
        kept = max(0, len(rest) - len(self._delimiter) + 1)
        self._part.update(rest[:kept])
        self._left = rest[kept:]


async def sent_body(request: Request, *, limit: int) -> SentBody:
    """Of `request`; `limit` is that of JSON. Raises BodyTooLargeError, InvalidRequestError."""
    if request.headers.get("content-type", "").startswith("multipart/"):
        return _Form(request)
    return _Whole(request, await read_bytes(request, limit=limit))


def _begun(request: Request) -> hashlib._Hash:
    scope = request.scope
    asked = f"{request.method} {scope['path']}?".encode() + scope["query_string"] + b"\n"
    return hashlib.sha256(asked)
