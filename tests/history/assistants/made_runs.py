"""Runs, messages and steps that stand for themselves, without a store."""

from __future__ import annotations

from typing import Any

from pennyweight.history.assistants.message_content import content_object
from pennyweight.history.assistants.run_settings import RunSettings
from pennyweight.store.generation import Generation, State
from pennyweight.store.run_steps import RunStep
from pennyweight.store.runs import Run
from pennyweight.store.thread_messages import ThreadMessage

NOW = 1_700_000_000


def settings(**fields: Any) -> RunSettings:
    given: dict[str, Any] = {"assistant_id": "asst_1", "model": "tiny", "tools": [], "tool_resources": {}}
    return RunSettings(**given | fields)


def a_run(**fields: Any) -> Run:
    generation = Generation(
        id="run_1",
        project_id="default",
        kind="run",
        state=State.IN_PROGRESS,
        model="tiny",
        parent_id=None,
        conversation_id="thread_1",
        request=settings(**fields).text(),
        result=None,
        error=None,
        metadata={},
        key_id=None,
        created_at=NOW,
        started_at=NOW,
        ended_at=None,
        expires_at=None,
        attempt=1,
    )
    return Run(generation=generation, thread_id="thread_1", expires_at=NOW + 600, streams=True)


def said(name: str, text: str, *, role: str = "user") -> ThreadMessage:
    return ThreadMessage(
        id=f"msg_{name}",
        thread_id="thread_1",
        run_id=None,
        metadata={},
        body={"role": role, "content": content_object((text,))},
        created_at=NOW,
    )


def step(name: str, details: dict[str, Any]) -> RunStep:
    return RunStep(
        id=f"step_{name}",
        run_id="run_1",
        state="completed",
        details=details,
        usage=None,
        created_at=NOW,
        ended_at=NOW,
    )
