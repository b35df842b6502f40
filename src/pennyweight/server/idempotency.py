"""`Idempotency-Key`: a POST repeated within a day gets the answer it got before, and nothing is done twice.

Answers are kept per project in the database, complete ones alone: a request that failed, or whose client went
away, is answered afresh. Of an answer that tells a secret, or is to be kept redacted alone, only that it was
given is kept. The key belongs to the exact request; with another body it is refused. A stream is repeated
byte for byte, at once. The last piece of an answer is sent when the answer is safely kept. Whoever deletes an
object deletes the answers that tell of it.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from pennyweight.errors import ConflictError, InvalidRequestError, PennyweightError
from pennyweight.server.auth import principal_of
from pennyweight.server.envelope import error_response
from pennyweight.server.permissions import makes_keys
from pennyweight.server.recording import Recording
from pennyweight.server.sent_body import sent_body
from pennyweight.server.told_objects import told_objects
from pennyweight.store.idempotent_answers import IdempotentAnswers, KeptAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Receive, Scope, Send

    from pennyweight.server.sent_body import SentBody
    from pennyweight.store.database import Database

_HEADER: Final = "idempotency-key"
_LONGEST: Final = 255
_REDACTED: Final = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
_log = logging.getLogger(__name__)
Place = tuple[str, str]
"""A project and its key."""


class Idempotency:
    """ASGI middleware, inside of authentication. One for a server: it knows what is under way."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        database: Database,
        max_body_bytes: int,
        redacts: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._app = app
        self._database = database
        self._answers = IdempotentAnswers()
        self._max_body_bytes = max_body_bytes
        self._untold = _REDACTED if redacts else ()
        self._clock = clock
        self._running: dict[Place, str | None] = {}  # fingerprints of what is under way, where known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or _HEADER not in Headers(scope=scope):
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            place = (principal_of(request).project, _checked_key(request))
            sent = await sent_body(request, limit=self._max_body_bytes)
            self._refuse_running(place, sent.known)
        except PennyweightError as error:
            await error_response(error)(scope, receive, send)
            return
        self._running[place] = sent.known
        try:
            await self._answer(request, place, sent, send)
        finally:
            del self._running[place]

    def _refuse_running(self, place: Place, fingerprint: str | None) -> None:
        if place not in self._running:
            return
        if None not in (fingerprint, self._running[place]) and fingerprint != self._running[place]:
            raise _reused()
        error = ConflictError("A request with this Idempotency-Key is under way; wait for its answer.")
        error.code = "idempotency_key_in_use"
        raise error

    async def _answer(self, request: Request, place: Place, sent: SentBody, send: Send) -> None:
        scope = request.scope
        try:
            now = int(self._clock())
            kept = await self._database.read(lambda link: self._answers.get(link, *place, now=now))
            if kept is not None:
                await _repeated(kept, await sent.fingerprint())(scope, request.receive, send)
                return
        except PennyweightError as error:
            await error_response(error)(scope, request.receive, send)
            return

        secret = makes_keys(scope["method"], scope["path"]) or scope["path"] in self._untold

        async def keep(status: int, headers: tuple[tuple[str, str], ...], answer: bytes | None) -> None:
            body = None if secret else answer
            fingerprint = await sent.fingerprint()
            made = KeptAnswer(fingerprint=fingerprint, status=status, headers=headers, body=body)
            at, told = int(self._clock()), told_objects(scope["path"], body or b"")
            await self._database.write(
                lambda link: self._answers.put(link, *place, made, now=at, objects=told),
                at="idempotent_answer.kept",
            )

        recording = Recording(send, keep)
        await self._app(scope, sent.receive, recording.send)


def _checked_key(request: Request) -> str:
    key = request.headers[_HEADER]
    if not (0 < len(key) <= _LONGEST and key.isascii() and key.isprintable()):
        raise InvalidRequestError(f"An Idempotency-Key has 1 to {_LONGEST} printable ASCII characters.")
    return key


def _reused() -> InvalidRequestError:
    error = InvalidRequestError("This Idempotency-Key was sent with another request; use a new one for this.")
    error.code = "idempotency_key_reused"
    return error


def _repeated(kept: KeptAnswer, fingerprint: str) -> Response:
    """Raises what a repetition may meet."""
    if kept.fingerprint != fingerprint:
        raise _reused()
    if kept.body is None:
        error = InvalidRequestError(
            "The answer to this request was given once and is not kept, because it was too large, told a "
            "secret or must not be kept unredacted; to get a new one, use another Idempotency-Key."
        )
        error.code = "idempotent_answer_not_kept"
        raise error
    headers = dict(kept.headers) | {"idempotent-replayed": "true"}
    return Response(kept.body, status_code=kept.status, headers=headers)
