"""OpenAI's run object (https://platform.openai.com/docs/api-reference/runs/object)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pennyweight.history.assistants.run_settings import RunSettings
from pennyweight.store.generation import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.core import Usage
    from pennyweight.store.runs import Run

RUN_PATIENCE_S: Final = 600
"""Seconds that a run waits to be answered, and for the results of its tools, as at OpenAI."""
_ERRORS: Final = ("server_error", "rate_limit_exceeded", "invalid_prompt")
"""The codes that clients know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProgress:
    """What a run has come to so far: tokens, the calls it waits for, the limit that ended it."""

    usage: Mapping[str, int] = field(default_factory=lambda: usage_object(0, 0))
    calls: list[dict[str, Any]] = field(default_factory=list)
    limit: str | None = None

    def text(self) -> str:
        """As the store keeps it."""
        return json.dumps({"usage": dict(self.usage), "calls": self.calls, "limit": self.limit})

    @classmethod
    def of(cls, run: Run) -> RunProgress:
        """What is stored of `run`."""
        text = run.generation.result
        return cls() if text is None else cls(**json.loads(text))

    def plus(self, usage: Usage) -> dict[str, int]:
        """The tokens with those of one more answer."""
        prompt = self.usage["prompt_tokens"] + usage.prompt_tokens
        return usage_object(prompt, self.usage["completion_tokens"] + usage.completion_tokens)


def run_object(run: Run) -> dict[str, Any]:
    """A run as it is now; usage is told when it has ended."""
    row, settings, progress = (
        run.generation,
        RunSettings.from_text(run.generation.request),
        RunProgress.of(run),
    )
    waits = row.state is State.REQUIRES_ACTION
    return {
        "id": row.id,
        "object": "thread.run",
        "created_at": row.created_at,
        "thread_id": run.thread_id,
        "assistant_id": settings.assistant_id,
        "status": str(row.state),
        "required_action": _required_action(progress.calls) if waits else None,
        "last_error": None if row.error is None else last_error(json.loads(row.error)),
        "expires_at": None if row.has_ended else run.expires_at,
        "started_at": row.started_at,
        "cancelled_at": row.ended_at if row.state is State.CANCELLED else None,
        "failed_at": row.ended_at if row.state is State.FAILED else None,
        "completed_at": row.ended_at if row.state is State.COMPLETED else None,
        "incomplete_details": None if progress.limit is None else {"reason": progress.limit},
        "model": settings.model,
        "instructions": settings.instructions,
        "tools": settings.tools,
        "tool_resources": settings.tool_resources,
        "metadata": row.metadata,
        "usage": dict(progress.usage) if row.has_ended else None,
        "temperature": settings.temperature,
        "top_p": settings.top_p,
        "max_prompt_tokens": settings.max_prompt_tokens,
        "max_completion_tokens": settings.max_completion_tokens,
        "truncation_strategy": settings.truncation,
        "response_format": settings.response_format,
        "tool_choice": settings.tool_choice,
        "parallel_tool_calls": settings.parallel_tool_calls,
    }


def last_error(error: Mapping[str, str]) -> dict[str, str]:
    """An error under a code that clients know."""
    code = error.get("code")
    return {"code": code if code in _ERRORS else "server_error", "message": error["message"]}


def usage_object(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Tokens of a run or of a step."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def _required_action(calls: list[dict[str, Any]]) -> dict[str, Any]:
    return {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
