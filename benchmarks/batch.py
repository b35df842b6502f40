"""Short requests as a batch, as 32 parallel streams, one by one, and by the bare engine: requests a second.

`python -m benchmarks.batch [--lines 2000] [--rounds 3]` keeps the rounds in `results/batch.json`. Every way
has the same requests, in turns. The bare engine answers 32 at a time in a process of its own without HTTP,
database or files: what is lost against it is what the way costs. One by one is a tenth of the requests.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe_machine
from benchmarks.servers import ServerCommand, running

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.servers import RunningServer

RESULTS = Path(__file__).with_name("results") / "batch.json"
STREAMS = 32
MAX_TOKENS = 16
SHARE_ALONE = 10  # one by one: every tenth request
_GLANCE_S = 1.0
_NEAR_END = 100  # lines left, of which the next second may answer the last
_POLL_S = 0.1
_SETTLE_S = 3  # a server reads its vocabulary for grammars when it has begun to answer


def body_of(number: int) -> dict[str, Any]:
    """A short chat of its own, greedy and as long as all others."""
    return {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You answer in one short sentence."},
            {"role": "user", "content": f"Tell me something about the number {number}."},
        ],
        "max_tokens": MAX_TOKENS,
        "ignore_eos": True,
        "temperature": 0,
    }


def as_batch(server: RunningServer, numbers: range) -> float:
    """Requests a second from the batch's creation to its end, files included."""
    import openai

    url = "/v1/chat/completions"
    lines = [
        {"custom_id": str(number), "method": "POST", "url": url, "body": body_of(number)}
        for number in numbers
    ]
    raw = "\n".join(map(json.dumps, lines)).encode()
    client: Any = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any")
    file = client.files.create(file=("in.jsonl", raw), purpose="batch")
    started_s = time.perf_counter()
    batch = client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h")
    while batch.status not in ("completed", "failed"):
        left = len(numbers) - batch.request_counts.completed
        time.sleep(_POLL_S if left < _NEAR_END else _GLANCE_S)  # each look takes time from the batch
        batch = client.batches.retrieve(batch.id)
    seconds = time.perf_counter() - started_s
    assert batch.request_counts.completed == len(numbers), batch
    return len(numbers) / seconds


def over_http(server: RunningServer, numbers: range, *, at_once: int) -> float:
    """Requests a second of `at_once` clients that each stream one answer after another."""
    import httpx

    async def run() -> None:
        left = iter(numbers)
        limits = httpx.Limits(max_connections=at_once)
        async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=120) as client:

            async def one_after_another() -> None:
                for number in left:
                    body = {**body_of(number), "stream": True}
                    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                        assert answer.status_code == 200
                        async for _ in answer.aiter_raw():
                            pass

            await asyncio.gather(*(one_after_another() for _ in range(at_once)))

    started_s = time.perf_counter()
    asyncio.run(run())
    return len(numbers) / (time.perf_counter() - started_s)


def by_the_engine(numbers: range) -> float:
    """Requests a second of the bare engine, in this process, `STREAMS` at a time."""
    from pennyweight import Engine
    from pennyweight.answers.chat_schema import parse_chat
    from pennyweight.answers.principal import LOCAL

    with Engine.open() as engine:

        async def run() -> None:
            left = iter(numbers)

            async def one_after_another() -> None:
                for number in left:
                    asked = parse_chat(body_of(number))
                    async for _ in engine.answerer.answer(asked.conversation, asked.options, LOCAL):
                        pass

            await asyncio.gather(*(one_after_another() for _ in range(STREAMS)))

        started_s = time.perf_counter()
        asyncio.run(run())
        return len(numbers) / (time.perf_counter() - started_s)


def engine_alone(numbers: range) -> float:
    """`by_the_engine` in a process of its own, so that nothing of it is left in this one."""
    import subprocess

    program = f"from benchmarks.batch import by_the_engine; print(by_the_engine({numbers!r}))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    return float(done.stdout)


def ways(numbers: range) -> dict[str, Callable[[RunningServer], float]]:
    """Each way by its name, as the results call it."""
    return {
        "batch": lambda server: as_batch(server, numbers),
        "streams": lambda server: over_http(server, numbers, at_once=STREAMS),
        "alone": lambda server: over_http(server, numbers[::SHARE_ALONE], at_once=1),
    }


def measure(*, num_lines: int) -> dict[str, float]:
    """One round. Each way starts with a server that has answered nothing."""
    numbers = range(num_lines)
    serve = (sys.executable, "-m", "pennyweight", "serve", "--port", "{port}")
    figures = {"engine": engine_alone(numbers)}
    for name, way in ways(numbers).items():
        with running(ServerCommand(arguments=serve)) as server:
            time.sleep(_SETTLE_S)
            figures[name] = way(server)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rounds = []
    for _ in range(given.rounds):
        rounds.append(measure(num_lines=given.lines))
        print({name: round(value, 1) for name, value in rounds[-1].items()}, flush=True)
    report = {"machine": describe_machine(), "lines": given.lines, "max_tokens": MAX_TOKENS, "rounds": rounds}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
