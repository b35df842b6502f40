"""Every failure as OpenAI's error object: `{"error": {"message", "type", "param", "code"}}`, all four keys.

Nothing else leaves the server with a status of 400 or more: neither FastAPI's `detail` nor a bare text.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from pennyweight.answers.exchange import compact_json
from pennyweight.errors import NotFoundError, PennyweightError, error_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from starlette.requests import Request


class MethodNotAllowedError(PennyweightError):
    """A path that exists, asked with another method."""

    status = 405
    type = "invalid_request_error"
    code = "method_not_supported"


class BodyTooLargeError(PennyweightError):
    """A body beyond the server's limit."""

    status = 413
    type = "invalid_request_error"
    code = "body_too_large"


def error_response(error: PennyweightError, headers: Mapping[str, str] | None = None) -> Response:
    """The official client repeats 429 and 5xx by itself; `x-should-retry` says when that is pointless."""
    headers = dict(headers or {})
    if error.retry_after_s is not None:
        wait_ms = max(math.ceil(1000 * error.retry_after_s), 1)
        headers |= {"x-should-retry": "true", "retry-after": str(math.ceil(wait_ms / 1000))}
        headers["retry-after-ms"] = str(wait_ms)
    elif error.status >= 500 or error.status == 429:
        # The same request would fail the same way, at the same cost.
        headers["x-should-retry"] = "false"
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    # ASCII: a message may quote halves of surrogate pairs, which have no UTF-8 form.
    body = json.dumps(error_object(error)).encode("ascii")
    return Response(body, status_code=error.status, headers=headers, media_type="application/json")


def json_response(body: dict[str, Any], *, headers: Mapping[str, str] | None = None) -> Response:
    """A success, as compact JSON."""
    return Response(compact_json(body), headers=headers, media_type="application/json")


def internal_error() -> PennyweightError:
    """What a client learns of a failure that is ours: nothing but that it is in the log."""
    message = "The server failed to answer this request; its log says why, under the id in x-request-id."
    return PennyweightError(message)


def install_error_handlers(app: FastAPI) -> None:
    """Map our own errors and Starlette's 404 and 405. What nobody expected is caught further out."""
    app.add_exception_handler(PennyweightError, _on_own_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


def _on_own_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, PennyweightError)
    return error_response(error)


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(_translated(request, error), error.headers)


def _translated(request: Request, error: HTTPException) -> PennyweightError:
    asked = f"{request.method} {request.url.path}"
    if error.status_code == 404:
        not_found = NotFoundError(f"Invalid URL ({asked}); /docs lists what this server answers.")
        not_found.code = "unknown_url"
        return not_found
    if error.status_code == 405:
        return MethodNotAllowedError(f"Not allowed: {asked}; /docs lists what this server answers.")
    other = PennyweightError(str(error.detail))
    other.status = error.status_code
    other.type = "invalid_request_error" if error.status_code < 500 else "server_error"
    return other
