"""OpenAI's run step object (https://platform.openai.com/docs/api-reference/run-steps/step-object)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pennyweight.history.assistants.run_object import last_error
from pennyweight.history.assistants.run_settings import RunSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.store.run_steps import RunStep
    from pennyweight.store.runs import Run


def run_step_object(step: RunStep, run: Run, *, results: bool = False) -> dict[str, Any]:
    """A step as it is now; `results`: with the text of what a search has found."""
    error = run.generation.error
    failed = step.state == "failed" and error is not None
    return {
        "id": step.id,
        "object": "thread.run.step",
        "created_at": step.created_at,
        "run_id": run.id,
        "assistant_id": RunSettings.from_text(run.generation.request).assistant_id,
        "thread_id": run.thread_id,
        "type": step.details["type"],
        "status": step.state,
        "cancelled_at": _ended(step, "cancelled"),
        "completed_at": _ended(step, "completed"),
        "expired_at": _ended(step, "expired"),
        "failed_at": _ended(step, "failed"),
        "last_error": last_error(json.loads(error)) if failed and error is not None else None,
        "step_details": step.details if results else _without_texts(step.details),
        "usage": step.usage,
        "metadata": {},
    }


def _ended(step: RunStep, state: str) -> int | None:
    return step.ended_at if step.state == state else None


def _without_texts(details: Mapping[str, Any]) -> dict[str, Any]:
    """What a search has found is told without the texts, which `include` asks for."""
    if details["type"] != "tool_calls":
        return dict(details)
    return {**details, "tool_calls": [_call_without_texts(call) for call in details["tool_calls"]]}


def _call_without_texts(call: Mapping[str, Any]) -> dict[str, Any]:
    if call["type"] != "file_search":
        return dict(call)
    found = call["file_search"]
    short = [
        {name: value for name, value in result.items() if name != "content"}
        for result in found.get("results", ())
    ]
    return {**call, "file_search": {**found, "results": short}}
