"""What tests of runs have in common: threads, tools, and answers that go on for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai
    from openai.types.beta import Thread
    from openai.types.beta.threads import Message

SHORT: Any = {"max_completion_tokens": 8}
STRICT: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Rome", "Oslo"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
NUMBER = {"type": "integer", "minimum": 100_000, "maximum": 999_999}  # nothing that could be guessed ahead
LONG: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "long",
        "schema": {
            "type": "object",
            "properties": {"numbers": {"type": "array", "items": NUMBER, "minItems": 4000}},
            "required": ["numbers"],
            "additionalProperties": False,
        },
    },
}
"""What is still being written when a test looks."""
CALL: Any = {"tool_choice": "required", "parallel_tool_calls": False}


def thread_with(client: openai.OpenAI, *texts: str) -> Thread:
    return client.beta.threads.create(messages=[{"role": "user", "content": text} for text in texts])


def written(messages: Iterator[Message]) -> list[tuple[str, str]]:
    return [(m.role, m.content[0].text.value) for m in messages if m.content[0].type == "text"]
