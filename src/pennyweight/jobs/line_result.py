"""What came of one line, as a line of the output or the error file.

(https://platform.openai.com/docs/api-reference/batch/request-output)
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pennyweight.answers.exchange import compact_json
from pennyweight.answers.ignored import ignored_names
from pennyweight.core import Usage
from pennyweight.errors import error_object

if TYPE_CHECKING:
    from pennyweight.answers.exchange import Answered
    from pennyweight.core import Timings
    from pennyweight.errors import PennyweightError


def _new_id() -> str:
    return f"batch_req_{uuid4().hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LineResult:
    """`response` is JSON: of a line that was answered, or refused as a route would have refused it."""

    custom_id: str
    status: int
    response: bytes
    usage: Usage = field(default_factory=Usage)
    ignored: tuple[str, ...] = ()  # what a route names in `x-pennyweight-ignored`
    model: str | None = None
    timings: Timings | None = None
    seconds: float = 0.0  # that the line was under way
    id: str = field(default_factory=_new_id)
    request_id: str = field(default_factory=lambda: f"req_{uuid4().hex}")

    @property
    def succeeded(self) -> bool:
        """Whether it goes to the output file; all others go to the error file."""
        return 200 <= self.status < 300

    def line(self) -> bytes:
        """With its line end."""
        head = compact_json({"id": self.id, "custom_id": self.custom_id})[:-1]
        # Written around the body, which may hold thousands of numbers: it is not parsed again.
        ignored = {"ignored": ignored_names(self.ignored)} if self.ignored else {}
        told = compact_json({"status_code": self.status, "request_id": self.request_id, **ignored})[:-1]
        return b'%s,"response":%s,"body":%s},"error":null}\n' % (head, told, self.response)


def answered(custom_id: str, answer: Answered, *, ignored: tuple[str, ...]) -> LineResult:
    """A line that got what a route answers with 200; `ignored` is what reading it dropped."""
    return LineResult(
        custom_id=custom_id,
        status=200,
        response=answer.body,
        usage=answer.usage,
        ignored=(*ignored, *answer.ignored),
        model=answer.model,
        timings=answer.timings,
    )


def refused(custom_id: str, error: PennyweightError, *, model: str | None = None) -> LineResult:
    """A line that got what a route answers with an error. `model` would have run; None: it is not known."""
    # ASCII: a message may quote halves of surrogate pairs, which have no UTF-8 form.
    response = json.dumps(error_object(error)).encode("ascii")
    return LineResult(custom_id=custom_id, status=error.status, response=response, model=model)


def never_run(custom_id: str, *, code: str, message: str) -> bytes:
    """The line of the error file of a request that was never made, with its line end."""
    line: dict[str, Any] = {"id": _new_id(), "custom_id": custom_id, "response": None}
    return compact_json({**line, "error": {"code": code, "message": message}}) + b"\n"
