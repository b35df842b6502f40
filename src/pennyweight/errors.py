"""One tree of errors; every class knows how it looks over HTTP and on a terminal.

A message names the value, the limit and the remedy. `status`, `type`, `code` and `param` are the fields of
OpenAI's error object (https://platform.openai.com/docs/guides/error-codes); the command line prints the
message alone and exits with 1.
"""

from __future__ import annotations

from typing import Any, Literal


class PennyweightError(Exception):
    """Base of every error a user can cause or meet."""

    status = 500
    type = "server_error"
    code: str | None = None
    retry_after_s: float | None = None
    """When the same request may succeed; None: not by itself."""

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


def error_object(error: PennyweightError) -> dict[str, Any]:
    """The body of an answer that is `error`; also its payload in the middle of a stream."""
    return {"error": {"message": error.message, "type": error.type, "param": error.param, "code": error.code}}


class InvalidRequestError(PennyweightError):
    """A request, an argument or a setting that cannot be honoured as given."""

    status = 400
    type = "invalid_request_error"


class ContextLengthError(InvalidRequestError):
    """The prompt does not fit the model's context."""

    code = "context_length_exceeded"


class AuthenticationError(PennyweightError):
    """No key, or a wrong one."""

    status = 401
    type = "invalid_request_error"
    code = "invalid_api_key"


class PermissionDeniedError(PennyweightError):
    """Somebody who may not ask this at all."""

    status = 403
    type = "invalid_request_error"


class ConflictError(PennyweightError):
    """Something else is being done at this very moment; try again when it is."""

    status = 409
    type = "invalid_request_error"


class RateLimitError(PennyweightError):
    """More requests or tokens in this minute than allowed. `retry_after_s` None: never, at this size."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(
        self, message: str, *, kind: Literal["requests", "tokens"], retry_after_s: float | None
    ) -> None:
        super().__init__(message)
        self.type = kind
        self.retry_after_s = retry_after_s


class InsufficientQuotaError(PennyweightError):
    """A budget is used up: trying again does not help."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"


class NotFoundError(PennyweightError):
    """A path or an object that does not exist."""

    status = 404
    type = "invalid_request_error"


class ModelNotFoundError(NotFoundError):
    """A model name nobody knows."""

    code = "model_not_found"


class UnavailableError(PennyweightError):
    """The engine is closed or has failed, and answers nothing more."""

    status = 503
    type = "service_unavailable_error"
    code = "engine_stopped"


class OverloadedError(UnavailableError):
    """More work than the queue or the memory for contexts holds; try again later."""

    code = "overloaded"
    retry_after_s = 1.0


class ModelLoadingError(OverloadedError):
    """A model is not in memory yet; try again in a moment."""

    code = "model_loading"


class ModelUnavailableError(UnavailableError):
    """A model that is served here cannot be brought into memory; others answer all the same."""

    code = "model_unavailable"


class DatabaseUnavailableError(UnavailableError):
    """The database does not answer, or is closed. Whether a write was kept is not known; try again."""

    code = "database_unavailable"
    retry_after_s = 1.0


class StorageFullError(PennyweightError):
    """What was sent cannot be made durable: the disk is full, read-only or failing. Nothing was kept."""

    status = 507
    code = "storage_full"


class ConfigError(PennyweightError):
    """A setting that is unknown, malformed or refused."""


class ModelFileError(PennyweightError):
    """A model file that is malformed, truncated, hostile or of a kind this engine does not compute."""

    code = "model_file_invalid"


class FetchError(PennyweightError):
    """A model could not be obtained; nothing half-done is left behind."""

    code = "fetch_failed"


class EngineError(PennyweightError):
    """The engine could not compute an answer."""


class UpstreamError(PennyweightError):
    """A service elsewhere, whose answers are passed on, did not give one."""

    status = 502
    code = "upstream_failed"


class UpstreamTimeoutError(UpstreamError):
    """The service was silent for too long."""

    status = 504
    code = "upstream_timeout"


class UpstreamUnreachableError(UpstreamError):
    """The service could not be reached: nothing was computed."""

    status = 503
    code = "upstream_unreachable"
    retry_after_s = 1.0
