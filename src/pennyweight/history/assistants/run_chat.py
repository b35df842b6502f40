"""A run as the body of a chat completion: instructions, what was found in files, the thread, its own calls.

Calls of earlier runs are not shown again: the messages they led to are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.answers.passages import quotation
from pennyweight.history.assistants.file_search import passages_of
from pennyweight.history.assistants.message_object import message_text
from pennyweight.history.assistants.tools import function_choice, functions_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pennyweight.history.assistants.run_settings import RunSettings
    from pennyweight.store.run_steps import RunStep
    from pennyweight.store.thread_messages import ThreadMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChat:
    """What a run answers next; `steps` are the run's own."""

    settings: RunSettings
    messages: Sequence[ThreadMessage]
    steps: Sequence[RunStep] = ()
    max_tokens: int | None = None

    def body(self) -> dict[str, Any]:
        """As `ChatExchange` reads it."""
        asked, goes_on = self.settings, bool(self._calls())
        tools = functions_of(asked.tools)
        choice = "auto" if goes_on else function_choice(asked.tool_choice, asked.tools)
        body: dict[str, Any] = {
            "model": asked.model,
            "messages": [*self._leading(), *self._thread(), *self._own()],
            "temperature": asked.temperature,
            "top_p": asked.top_p,
        }
        if asked.response_format != "auto":
            body["response_format"] = asked.response_format
        if tools:
            body |= {"tools": tools, "parallel_tool_calls": asked.parallel_tool_calls}
        if choice != "auto":
            body["tool_choice"] = choice
        if self.max_tokens is not None:
            body["max_completion_tokens"] = self.max_tokens
        return body

    def _leading(self) -> list[dict[str, Any]]:
        asked = self.settings.instructions
        return [{"role": "system", "content": asked}] if asked else []

    def _thread(self) -> list[dict[str, Any]]:
        """What was found stands before the newest question. What this run wrote stands with its calls."""
        own = {step.details["message_creation"]["message_id"] for step in self.steps if _is_message(step)}
        thread = [
            {"role": message.body["role"], "content": message_text(message)}
            for message in self.messages
            if message.id not in own
        ]
        passages = passages_of(self.steps)
        question = next((turn for turn in reversed(thread) if turn["role"] == "user"), None)
        if passages and question is not None:
            question["content"] = quotation(passages) + question["content"]
        return thread

    def _calls(self) -> list[RunStep]:
        return [step for step in self.steps if _is_calls(step)]

    def _own(self) -> Iterator[dict[str, Any]]:
        texts = {message.id: message_text(message) for message in self.messages}
        said = None
        for step in self.steps:
            if _is_message(step):
                said = texts.get(step.details["message_creation"]["message_id"])
            elif _is_calls(step):
                calls = step.details["tool_calls"]
                yield {"role": "assistant", "content": said, "tool_calls": [_asked(call) for call in calls]}
                said = None
                for call in calls:
                    output = call["function"]["output"] or ""
                    yield {"role": "tool", "tool_call_id": call["id"], "content": output}


def latest_question(messages: Sequence[ThreadMessage]) -> str:
    """The newest text of a person."""
    return next((message_text(m) for m in reversed(messages) if m.body["role"] == "user"), "")


def _asked(call: dict[str, Any]) -> dict[str, Any]:
    function = {name: call["function"][name] for name in ("name", "arguments")}
    return {"id": call["id"], "type": "function", "function": function}


def _is_message(step: RunStep) -> bool:
    return bool(step.details["type"] == "message_creation")


def _is_calls(step: RunStep) -> bool:
    details = step.details
    return bool(details["type"] == "tool_calls" and details["tool_calls"][0]["type"] == "function")
