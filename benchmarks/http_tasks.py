"""What a server is asked over HTTP: each task starts from a fresh server and returns one `Sample`.

Prompts are real, distinct passages, the same ones for every server, so that no cache flatters and no server
gets easier text. Greedy unless the task says sampled; answers run to their full length: no end token is
sampled (`ignore_eos` of llama-server, `min_tokens` here).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchmarks.process_time import seconds_beside, thread_seconds
from benchmarks.samples import Sample, percentile
from benchmarks.servers import running
from benchmarks.texts import Passages, find_text
from benchmarks.workload import TEMPERATURE, TOP_P, Sampling

if TYPE_CHECKING:
    from benchmarks.servers import RunningServer, ServerCommand

ROOT = Path(__file__).parents[1]
TOP_K = 40  # when sampled, on both sides: llama-server's default, and cheap for it
Answers = list[dict[str, Any]]


class HttpTask(Protocol):
    """One measurement of a running server."""

    def measure(self, server: RunningServer, passages: Passages) -> Sample: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Many requests at once, prompts read and answers written: tokens written per second from first to last.

    `reports` python: the percentage of all cores spent outside the threads that compute.
    """

    streams: int = 32
    prompt_tokens: int = 128
    tokens: int = 96
    sampling: Sampling = "greedy"
    reports: Literal["speed", "python"] = "speed"

    def measure(self, server: RunningServer, passages: Passages) -> Sample:
        prompts = [passages.take(self.prompt_tokens) for _ in range(self.streams)]
        bodies = [_chat(prompt, self.tokens, self.sampling) for prompt in prompts]
        cores = len(os.sched_getaffinity(0))
        before = thread_seconds(server.pid)
        answers = _ask(server, [(0.0, body) for body in bodies])
        beside_s = seconds_beside(before, thread_seconds(server.pid), workers=cores)
        seconds = _last(answers) - min(answer["sent_s"] for answer in answers)
        speed = sum(answer["completion_tokens"] for answer in answers) / seconds
        share = 100 * beside_s / (cores * seconds)
        also = {"prompt_tokens": sum(answer["prompt_tokens"] for answer in answers)}
        if self.reports == "python":
            return Sample(value=share, also={**also, "tokens_per_s": speed})
        return Sample(value=speed, also=also)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstToken:
    """Milliseconds to the first token behind a long prefix the server has seen; the question is new."""

    prefix_tokens: int = 2048
    repeats: int = 10
    tokens: int = 16

    def measure(self, server: RunningServer, passages: Passages) -> Sample:
        prefix = passages.take(self.prefix_tokens)
        questions = ["In short?", "Who is named?", "Which year?", "Which country?", "Why?"]
        _ask(server, [(0.0, _chat("Begin.", self.tokens, "greedy", system=prefix))])
        waits_ms = []
        for number in range(self.repeats):
            question = f"{number + 1}: {questions[number % len(questions)]}"
            [answer] = _ask(server, [(0.0, _chat(question, self.tokens, "greedy", system=prefix))])
            waits_ms.append(1000 * (answer["times_s"][0] - answer["sent_s"]))
        return Sample(value=median(waits_ms), also={"slowest_ms": max(waits_ms)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbed:
    """The 99th percentile, in milliseconds, of the gaps of a running stream while long prompts arrive.

    `prompt_rate_share` is the rate at which those prompts are read, of their rate without the stream.
    """

    prompts: tuple[int, ...] = (3000, 3500, 4000)
    interval_s: float = 0.2
    lead_s: float = 1.0
    stream_tokens: int = 4000  # more than any server writes meanwhile

    def measure(self, server: RunningServer, passages: Passages) -> Sample:
        solo = _ask(server, self._arrivals(passages, start_s=0.0))
        # Greedily it would repeat itself, which can be guessed ahead.
        stream = _chat("Tell a long story.", self.stream_tokens, "sampled")
        arrivals = self._arrivals(passages, start_s=self.lead_s)
        together = _ask(server, [(0.0, stream), *arrivals], background=1)
        written, read = together[0], together[1:]
        begin, end = read[0]["sent_s"], _last(read)
        gaps_ms = [1000 * gap for gap in gaps(sorted([*written["times_s"], end]), begin, end)]
        also = {"prompt_rate_share": _prompt_rate(read) / _prompt_rate(solo), "slowest_ms": max(gaps_ms)}
        return Sample(value=percentile(gaps_ms, 0.99), also=also)

    def _arrivals(self, passages: Passages, *, start_s: float) -> list[tuple[float, dict[str, Any]]]:
        return [
            (start_s + number * self.interval_s, _chat(passages.take(tokens), 4, "greedy"))
            for number, tokens in enumerate(self.prompts)
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LongPrompt:
    """One long prompt: tokens per second of reading it to the first token, or of writing behind it."""

    reports: Literal["prompt", "decode"]
    prompt_tokens: int
    tokens: int = 64

    def measure(self, server: RunningServer, passages: Passages) -> Sample:
        [answer] = _ask(server, [(0.0, _chat(passages.take(self.prompt_tokens), self.tokens, "greedy"))])
        first_s = answer["times_s"][0] - answer["sent_s"]
        also = {"prompt_tokens": answer["prompt_tokens"], "first_token_s": first_s}
        if self.reports == "prompt":
            return Sample(value=answer["prompt_tokens"] / first_s, also=also)
        written_s = answer["times_s"][-1] - answer["times_s"][0]
        return Sample(value=(answer["completion_tokens"] - 1) / written_s, also=also)


def measure_server(command: ServerCommand, task: HttpTask) -> Sample:
    """Start the server, warm it up, run the task, stop it. RuntimeError where the text is missing."""
    text = find_text()
    if text is None:
        raise RuntimeError("the passages of text for prompts are not here; see benchmarks/texts.py")
    with running(command) as server:
        _ask(server, [(0.0, _chat("Name the capital of France.", 32, "greedy"))])
        return task.measure(server, Passages.open(text))


def _chat(prompt: str, max_tokens: int, sampling: Sampling, *, system: str | None = None) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    if system is not None:
        messages.insert(0, {"role": "system", "content": system})
    chosen: dict[str, float] = {"temperature": 0}
    if sampling == "sampled":
        chosen = {"temperature": TEMPERATURE, "top_p": TOP_P, "top_k": TOP_K, "min_p": 0.0, "seed": 1}
    full = {"max_tokens": max_tokens, "min_tokens": max_tokens, "ignore_eos": True}
    return {"messages": messages, **full, **chosen}


def _ask(
    server: RunningServer, requests: list[tuple[float, dict[str, Any]]], *, background: int = 0
) -> Answers:
    """Send the requests at their times from a process of its own; the first `background` are left early."""
    named = [
        {
            "after_s": after_s,
            "body": {"model": server.model, **body},
            "role": "background" if number < background else "foreground",
        }
        for number, (after_s, body) in enumerate(requests)
    ]
    command = [sys.executable, "-m", "benchmarks.http_client", server.url]
    done = subprocess.run(command, input=json.dumps(named), capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"the client failed:\n{done.stderr[-2000:]}")
    answers: Answers = json.loads(done.stdout)
    return answers


def gaps(times: list[float], begin: float, end: float) -> list[float]:
    """Gaps between successive times that overlap the span from `begin` to `end`."""
    return [after - before for before, after in pairwise(times) if after > begin and before < end]


def _last(answers: Answers) -> float:
    return max(float(answer["times_s"][-1]) for answer in answers)


def _prompt_rate(answers: Answers) -> float:
    """Prompt tokens per second from the first request to the last one's first token."""
    seconds = max(answer["times_s"][0] for answer in answers) - answers[0]["sent_s"]
    return float(sum(answer["prompt_tokens"] for answer in answers) / seconds)
