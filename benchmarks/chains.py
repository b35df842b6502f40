"""Conversations by `previous_response_id`: what each turn computes, and how long its first token takes.

`python -m benchmarks.chains [--conversations 12]` keeps the turns in `results/chains.json`. Every
conversation begins with a sentence of its own, so nothing is cached but what its own turns left; at its end
the last turn is asked once more with all that came before it sent again behind another first sentence: what
it costs without a cache. One client, one conversation at a time, streamed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.machine import describe_machine
from benchmarks.servers import ServerCommand, running

RESULTS: Final = Path(__file__).with_name("results") / "chains.json"
TURNS: Final = 10
MAX_TOKENS: Final = 32
_SETTLE_S: Final = 3  # a server reads its vocabulary for grammars when it has begun to answer
_TOPICS: Final = (
    "rivers",
    "trains",
    "bread",
    "clouds",
    "maps",
    "clocks",
    "bridges",
    "gardens",
    "ships",
    "songs",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One answer: tokens of its prompt, how many of them were found, seconds to its first piece of text."""

    prompt_tokens: int
    cached_tokens: int
    ttft_s: float


def question(turn: int) -> str:
    """What is said at `turn`: some thirty tokens."""
    topic = _TOPICS[turn % len(_TOPICS)]
    return f"Now tell me something else about {topic}, in one sentence, and why people like it. ({turn})"


def opening(name: str) -> str:
    """The first sentence of a conversation, which no other has."""
    return f"My name is {name}. {question(0)}"


def ask(client: Any, **fields: Any) -> tuple[Turn, Any]:
    """One streamed answer, and the response."""
    started_s = time.perf_counter()
    ttft_s, last = None, None
    asked = {"model": "gpt-4o-mini", "max_output_tokens": MAX_TOKENS, "temperature": 0, "stream": True}
    with client.responses.create(**asked, **fields, extra_body={"ignore_eos": True}) as events:
        for event in events:
            if ttft_s is None and event.type == "response.output_text.delta":
                ttft_s = time.perf_counter() - started_s
            last = event
    assert ttft_s is not None
    assert last is not None
    usage = last.response.usage
    cached = usage.input_tokens_details.cached_tokens
    return Turn(prompt_tokens=usage.input_tokens, cached_tokens=cached, ttft_s=ttft_s), last.response


def conversation(client: Any, name: str) -> tuple[list[Turn], Turn]:
    """Its turns, and the last one again without a cache."""
    turns, history, before = [], [], None
    for number in range(TURNS):
        text = question(number) if number else opening(name)
        more: dict[str, Any] = {} if before is None else {"previous_response_id": before}
        turn, response = ask(client, input=text, **more)
        turns.append(turn)
        history.append({"role": "user", "content": text})
        if number < TURNS - 1:
            history.append({"role": "assistant", "content": response.output_text})
        before = response.id
    history[0] = {"role": "user", "content": opening(name[::-1])}
    cold, _ = ask(client, input=history, store=False)
    return turns, cold


def measure(*, conversations: int) -> list[dict[str, Any]]:
    """All conversations, one after another, on one server."""
    import openai

    serve = (sys.executable, "-m", "pennyweight", "serve", "--port", "{port}")
    with running(ServerCommand(arguments=serve)) as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any")
        conversation(client, "warm")
        time.sleep(_SETTLE_S)
        told = []
        for number in range(conversations):
            turns, cold = conversation(client, f"abc{number:03d}")
            told.append({"turns": [asdict(turn) for turn in turns], "cold": asdict(cold)})
        return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=12)
    given = parser.parse_args()
    told = measure(conversations=given.conversations)
    report = {"machine": describe_machine(), "max_tokens": MAX_TOKENS, "conversations": told}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
