"""An HTTP answer written down while it is sent; kept, if it is complete, before its last piece goes out."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pennyweight.errors import PennyweightError
from pennyweight.server.sse import PING, completes_answer, tells_failure
from pennyweight.store.idempotent_answers import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from starlette.types import Message, Send

_log = logging.getLogger(__name__)


Keep = Callable[[int, tuple[tuple[str, str], ...], bytes | None], Awaitable[None]]
"""Keeps status, headers and body of an answer; body None: it was too large. Raises PennyweightError."""


class Recording:
    """`send` stands in for the server's own."""

    def __init__(self, send: Send, keep: Keep) -> None:
        self._send = send
        self._keep = keep
        self._status = 0
        self._headers: tuple[tuple[str, str], ...] = ()
        self._streams = False
        self._chunks: list[bytes] | None = []  # None: too large, or not to be kept
        self._num_bytes = 0
        self._decided = False

    async def send(self, message: Message) -> None:
        """Pass `message` on, the last one when the answer is kept."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            )
            self._streams = (b"content-type", b"text/event-stream; charset=utf-8") in message["headers"]
        elif message["type"] == "http.response.body":
            body = message.get("body", b"")
            if self._streams:
                await self._note_event(body)
            else:
                await self._note(body, last=not message.get("more_body", False))
        await self._send(message)

    async def _note_event(self, event: bytes) -> None:
        if tells_failure(event):
            self._decided = True
        if event != PING:
            await self._note(event, last=completes_answer(event))

    async def _note(self, body: bytes, *, last: bool) -> None:
        if self._decided:
            return
        self._num_bytes += len(body)
        if self._num_bytes > MAX_ANSWER_BYTES:
            self._chunks = None
        elif self._chunks is not None:
            self._chunks.append(body)
        if last:
            self._decided = True
            if self._status == 200:
                await self._keep_now()

    async def _keep_now(self) -> None:
        body = None if self._chunks is None else b"".join(self._chunks)
        try:
            await self._keep(self._status, self._headers, body)
        except PennyweightError as error:
            # The work is done and paid for: better an answer that is not kept than none.
            _log.error("an answer could not be kept for its Idempotency-Key: %s", error.message)
