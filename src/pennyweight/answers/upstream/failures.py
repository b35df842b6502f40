"""What goes wrong with a service elsewhere, as our own errors.

Clients learn what they can do about it, never the service's address or key: what the service says is passed
on only where it is about the request, shortened and without the key. The log has the rest.
"""

from __future__ import annotations

import json
import logging
import math
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from pennyweight.errors import (
    InsufficientQuotaError,
    InvalidRequestError,
    OverloadedError,
    RateLimitError,
    UpstreamError,
    UpstreamTimeoutError,
    UpstreamUnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.errors import PennyweightError

_LONGEST_QUOTE = 500
_LONGEST_CODE = 64
_LONGEST_RETRY_S = 86_400.0
_OF_THE_REQUEST = (400, 413, 415, 422)
_log = logging.getLogger(__name__)


class Failures:
    """The failures of one service, called `name` here; `key` never leaves."""

    def __init__(self, name: str, key: str | None) -> None:
        self._name = name
        self._key = key

    def of_status(self, status: int, headers: Mapping[str, str], body: bytes) -> PennyweightError:
        """A response that is no answer."""
        said = _error_object(body)
        quoted = self._quoted(said.get("message"))
        _log.warning("upstream %s answered %s: %s", self._name, status, quoted or "nothing readable")
        if status in _OF_THE_REQUEST:
            return self._of_request(said, quoted)
        error = self._of_service(status, said)
        if status in (429, 502, 503, 504, 529) and said.get("code") != "insufficient_quota":
            error.retry_after_s = _retry_after_s(headers) or error.retry_after_s
        return error

    def reported(self, body: Mapping[str, object]) -> UpstreamError:
        """An error in the middle of a stream."""
        said = body.get("error")
        text = said.get("message") if isinstance(said, dict) else said
        quoted = self._quoted(text)
        return UpstreamError(
            f"The service behind '{self._name}' broke off its answer: {quoted or 'an error'}."
        )

    def malformed(self, what: str) -> UpstreamError:
        """Something that no such service should send."""
        _log.warning("upstream %s: %s", self._name, what)
        message = f"The service behind '{self._name}' gave no answer that can be read: {what}."
        return UpstreamError(message)

    def silent(self) -> UpstreamTimeoutError:
        """Nothing came for too long."""
        _log.warning("upstream %s was silent for too long", self._name)
        return UpstreamTimeoutError(f"The service behind '{self._name}' did not answer in time.")

    def unreachable(self, reason: str) -> UpstreamUnreachableError:
        """No connection."""
        _log.warning("upstream %s cannot be reached: %s", self._name, self._quoted(reason))
        message = f"The service behind '{self._name}' cannot be reached; try again later."
        return UpstreamUnreachableError(message)

    def broken(self, reason: str) -> UpstreamError:
        """The connection broke, or what came over it is not HTTP."""
        _log.warning("upstream %s broke the connection: %s", self._name, self._quoted(reason))
        return UpstreamError(f"The connection to the service behind '{self._name}' broke.")

    def _of_request(self, said: Mapping[str, object], quoted: str) -> PennyweightError:
        param, code = said.get("param"), said.get("code")
        message = f"The service behind '{self._name}' refuses this request: {quoted or 'it does not say why'}"
        error = InvalidRequestError(message)
        error.param = self._quoted(param)[:_LONGEST_CODE] if isinstance(param, str) else None
        error.code = self._quoted(code)[:_LONGEST_CODE] if isinstance(code, str) else None
        return error

    def _of_service(self, status: int, said: Mapping[str, object]) -> PennyweightError:
        name = f"The service behind '{self._name}'"
        if status in (401, 403):
            return UpstreamError(
                f"{name} refuses this server's key ({status}); its owner must set another one."
            )
        if status == 404:
            return UpstreamError(f"{name} does not know the model or the address it is asked by (404).")
        if 300 <= status < 400:
            return UpstreamError(f"{name} points to another address ({status}), which is not followed.")
        if status == 429 and said.get("code") == "insufficient_quota":
            return InsufficientQuotaError(f"{name} has no quota left for this server.")
        if status == 429:
            message = f"{name} limits the rate of requests; try again later."
            return RateLimitError(message, kind="requests", retry_after_s=1.0)
        if status in (503, 529):
            return OverloadedError(f"{name} is overloaded; try again later.")
        if status == 504:
            return UpstreamTimeoutError(f"{name} did not answer in time.")
        return UpstreamError(f"{name} failed with the status {status}.")

    def _quoted(self, text: object) -> str:
        """What a service says, made harmless: one line, without the key, not long."""
        if not isinstance(text, str):
            return ""
        if self._key:
            text = text.replace(self._key, "[key]")
        line = "".join(char if char.isprintable() else " " for char in text)
        return line.encode("utf-8", "replace").decode()[:_LONGEST_QUOTE].strip()


def _error_object(body: bytes) -> Mapping[str, object]:
    """OpenAI's error object, or the flat one of other services; empty if it is neither."""
    try:
        value = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, dict) and isinstance(value.get("error"), dict):
        value = value["error"]
    return value if isinstance(value, dict) else {}


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds, from `retry-after-ms` or `retry-after`, which may be a date."""
    if (milliseconds := _number(headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    if (seconds := _number(text)) is not None or text is None:
        return seconds
    try:
        return _bounded(parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else _bounded(float(text))
    except ValueError:
        return None


def _bounded(seconds: float) -> float | None:
    return min(seconds, _LONGEST_RETRY_S) if math.isfinite(seconds) and seconds >= 0 else None
