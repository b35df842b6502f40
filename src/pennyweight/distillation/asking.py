"""Many prompts put to one model: as a file of requests in OpenAI's batch format, and back from its output.

So answering is what `penny batch run` does: batched, and gone on with where it was interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.exchange import compact_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pennyweight.distillation.prompts import Prompt

URL: Final = "/v1/chat/completions"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How every prompt is asked: `samples` answers, under a JSON schema if there is one."""

    model: str
    samples: int = 1
    temperature: float = 0.0
    max_tokens: int | None = None
    seed: int = 1
    schema: Mapping[str, Any] | None = None

    def body(self, prompt: Prompt) -> dict[str, Any]:
        """The chat request."""
        body: dict[str, Any] = {
            "model": self.model,
            "messages": list(prompt.messages),
            "n": self.samples,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        if self.max_tokens is not None:
            body["max_completion_tokens"] = self.max_tokens
        if self.schema is not None:
            schema = {"name": "answer", "strict": True, "schema": self.schema}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One answer; `is_whole` unless a limit of tokens cut it off or it was refused."""

    text: str
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What a model answered to one prompt, and the tokens it wrote for all samples together."""

    samples: tuple[Sample, ...]
    tokens: int


Answers = Mapping[str, Answered]
"""By the prompts' keys; a prompt whose request failed has none."""


def write_requests(path: Path, prompts: Sequence[Prompt], asking: Asking) -> None:
    """A line for each prompt, which its key names. The same arguments write the same bytes."""
    with path.open("wb") as file:
        for prompt in prompts:
            line = {"custom_id": prompt.key, "method": "POST", "url": URL, "body": asking.body(prompt)}
            file.write(compact_json(line) + b"\n")


def read_answers(path: Path) -> Answers:
    """The output of a batch."""
    with path.open("rb") as file:
        entries = [json.loads(line) for line in file]
    return {entry["custom_id"]: answered([entry["response"]["body"]]) for entry in entries}


def answered(completions: Iterable[Mapping[str, Any]]) -> Answered:
    """The choices of chat completions that answer the same prompt."""
    samples, tokens = [], 0
    for completion in completions:
        tokens += (completion.get("usage") or {}).get("completion_tokens", 0)
        for choice in completion["choices"]:
            text = (choice["message"].get("content") or "").strip()
            samples.append(Sample(text=text, is_whole=choice.get("finish_reason") == "stop" and bool(text)))
    return Answered(samples=tuple(samples), tokens=tokens)
