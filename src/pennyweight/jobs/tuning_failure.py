"""Why a job of fine-tuning failed: OpenAI's error object, and what its events say besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import InsufficientQuotaError
from pennyweight.store.tuning_job import NewEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.errors import PennyweightError
    from pennyweight.jobs.maker import Stop
    from pennyweight.store.usage import Outcome

_TOLD_AT_ONCE: Final = 3  # errors of a file in the job's own; events have them all


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """`status` is the one HTTP would have, for usage."""

    code: str
    message: str
    param: str | None = None
    status: int = 500
    details: tuple[str, ...] = ()

    @property
    def error(self) -> dict[str, Any]:
        """OpenAI's `error`."""
        return {"code": self.code, "message": self.message, "param": self.param}

    @property
    def outcome(self) -> Outcome:
        if self.status == 429:
            return "limited"
        return "refused" if self.status < 500 else "failed"

    def events(self) -> list[NewEvent]:
        """The last ones of the job."""
        told = (*self.details, self.message)
        return [NewEvent(message=message, level="error") for message in told]


def invalid(told: Mapping[str, Any]) -> Failure:
    """A file that cannot be trained on, line by line."""
    errors = [error for error in told.get("errors", ()) if isinstance(error, dict)]
    details = [_placed(error) for error in errors]
    first = errors[0] if errors else {}
    if first.get("code") == "token_limit_exceeded":
        return Failure(code=InsufficientQuotaError.code, message=details[0], status=429)
    if first.get("param") == "model":
        return Failure(code=str(first["code"]), message=details[0], param="model", status=400)
    where = "validation_file" if first.get("param") == "validation_file" else "training_file"
    num_errors = int(told.get("num_errors", len(errors)))
    more = f" ({num_errors} errors in all; the events have them)" if num_errors > _TOLD_AT_ONCE else ""
    return Failure(
        code=f"invalid_{where}",
        message=f"The job failed due to an invalid {where.replace('_', ' ')}. "
        f"{' '.join(details[:_TOLD_AT_ONCE])}{more}",
        param=where,
        status=400,
        details=tuple(details),
    )


def told_by_trainer(told: Mapping[str, Any]) -> Failure:
    """Training could not go on."""
    return Failure(code=str(told.get("code") or "training_failed"), message=str(told.get("message")))


def of_error(error: PennyweightError, *, param: str | None = None) -> Failure:
    """What kept a job from being trained."""
    return Failure(code=error.code or "server_error", message=error.message, param=param, status=error.status)


def stopped_by(stop: Stop) -> Failure:
    """Who made it may not train any more."""
    return Failure(code=stop.code, message=stop.message, status=403)


def defect() -> Failure:
    """Interrupted again and again."""
    message = "The trainer was interrupted several times before it was done; the server's log says more."
    return Failure(code="server_error", message=message)


def _placed(error: Mapping[str, Any]) -> str:
    line, message = error.get("line"), str(error.get("message"))
    return message if line is None or f"ine {line}" in message else f"Line {line}: {message}"
