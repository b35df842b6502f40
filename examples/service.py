"""What every example asks a running `penny serve`, through the official client: answers, and tuned models.

Start a server, then run the example beside it:

    penny serve --data ~/penny-tuning
    OPENAI_BASE_URL=http://127.0.0.1:8000/v1 python -m examples.receipts --help
"""

from __future__ import annotations

import io
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import openai

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

BASE_URL: Final = "http://127.0.0.1:8000/v1"
_POLL_S: Final = 2.0
_ENDED: Final = ("succeeded", "failed", "cancelled")
_AT_ONCE: Final = 8


class TuningFailedError(Exception):
    """A job that ended without a model; the message is the job's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModel:
    """A finished job: `name` answers like any other model; `minutes` from its start to its end."""

    name: str
    job: str
    minutes: float
    trained_tokens: int

    def told(self) -> dict[str, Any]:
        """For a table of results."""
        return {
            "model": self.name,
            "job": self.job,
            "minutes": round(self.minutes, 2),
            "trained_tokens": self.trained_tokens,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer and what it cost."""

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def connect() -> openai.OpenAI:
    """The server at OPENAI_BASE_URL, by default the one on this machine."""
    url = os.environ.get("OPENAI_BASE_URL", BASE_URL)
    return openai.OpenAI(base_url=url, api_key=os.environ.get("OPENAI_API_KEY", "any"), timeout=600)


def jsonl(lines: Sequence[Mapping[str, Any]]) -> bytes:
    """One JSON object per line, the form of every training file."""
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def upload(client: openai.OpenAI, lines: Sequence[Mapping[str, Any]], name: str) -> str:
    """The id of a new file for training."""
    return client.files.create(file=(name, io.BytesIO(jsonl(lines))), purpose="fine-tune").id


def tune(
    client: openai.OpenAI,
    *,
    model: str,
    training_file: str,
    validation_file: str | None = None,
    method: Mapping[str, Any],
    suffix: str,
    seed: int,
    told: Callable[[str], None] = print,
) -> TunedModel:
    """Start a job and wait for it; `told` gets its events. Raises TuningFailedError."""
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=training_file,
        validation_file=validation_file if validation_file is not None else openai.omit,
        method=cast("Any", method),  # the client has a type for each method
        suffix=suffix,
        seed=seed,
    )
    started, seen = time.monotonic(), set[str]()
    while job.status not in _ENDED:
        time.sleep(_POLL_S)
        job = client.fine_tuning.jobs.retrieve(job.id)
        for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=20).data):
            if event.id not in seen:
                seen.add(event.id)
                told(event.message)
    if job.status != "succeeded" or job.fine_tuned_model is None:
        raise TuningFailedError(job.error.message if job.error else f"job {job.id} is {job.status}")
    return TunedModel(
        name=job.fine_tuned_model,
        job=job.id,
        minutes=(time.monotonic() - started) / 60,
        trained_tokens=job.trained_tokens or 0,
    )


def ask_all(client: openai.OpenAI, requests: Sequence[Mapping[str, Any]]) -> list[list[Answer]]:
    """The choices of every chat request, in the order of the requests; a few are under way at once."""

    def ask(request: Mapping[str, Any]) -> list[Answer]:
        done = client.chat.completions.create(**request)
        usage = done.usage
        assert usage is not None
        share = usage.completion_tokens // len(done.choices)
        return [
            Answer(
                text=choice.message.content or "",
                finish_reason=choice.finish_reason,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=share,
            )
            for choice in done.choices
        ]

    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        return list(pool.map(ask, requests))
