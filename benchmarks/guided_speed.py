"""What guesses are worth: answers held to a schema, or predicted, against plain ones of the same engine.

In process, through everything but HTTP, with real prompts, sampled at 0.7. The two sides alternate and write
the same number of tokens; prompts and grammars are read before. Prints one JSON object: how many times as
fast as plain decode, and both rates.

    python -m benchmarks.guided_speed MODEL.gguf '{"guess": "schema", "streams": 32}' --threads 2

`schema`: eight schemas of jsonschemabench as OpenAI's strict mode wants them (every property required, no
others), each with a record in words to be written as JSON. `prediction`: a text to be written again, its
prediction with a tenth of the words changed in runs of five.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
from contextlib import aclosing
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from benchmarks.samples import Sample
from benchmarks.texts import Passages, find_text
from pennyweight.answers.chat_schema import parse_chat
from pennyweight.answers.events import Finished, TextDelta
from pennyweight.answers.principal import LOCAL
from pennyweight.api import Engine

if TYPE_CHECKING:
    from collections.abc import Sequence

Body = dict[str, Any]
SCHEMAS = (
    "Glaiveai2K---book_flight_1987304d",
    "Glaiveai2K---analyze_health_data_ecfa5553",
    "Snowplow---sp_100_Normalized",
    "Github_easy---o10514",
    "Github_medium---o102",
    "Github_medium---o10217",
    "Kubernetes---kb_1066_Normalized",
    "BFCL_multiple_191",
)
_REPEATS = 5  # of both sides, in turn
_MAX_TOKENS = 200
_PREDICTED_TOKENS = 256
_NUM_PREDICTIONS = 4
_SPOILT_SHARE, _SPOILT_RUN = 0.1, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class GuidedTask:
    """`streams` answers at a time."""

    guess: Literal["schema", "prediction"]
    streams: int = 1

    @classmethod
    def from_json(cls, text: str) -> GuidedTask:
        """What `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """The task as the argument of this program."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One answer."""

    text: str
    num_tokens: int


class Bench:
    """Chat bodies on one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def rates(self, guided: Sequence[Body], plain: Sequence[Body], streams: int) -> tuple[float, float]:
        """Tokens per second of both; a plain answer is as long as the guided one in its place."""
        first = await self._ask(guided, streams)
        plain = [{**body, "max_tokens": own.num_tokens} for body, own in zip(plain, first, strict=True)]
        await self._ask([{**body, "max_tokens": 1} for body in plain], streams)
        seconds = [0.0, 0.0]
        for _ in range(_REPEATS):
            for side, bodies in enumerate((guided, plain)):
                started_s = perf_counter()
                answers = await self._ask(bodies, streams)
                seconds[side] += perf_counter() - started_s
                if [answer.num_tokens for answer in answers] != [answer.num_tokens for answer in first]:
                    raise RuntimeError("the same seed gave an answer of another length")
        num_tokens = _REPEATS * sum(answer.num_tokens for answer in first)
        return num_tokens / seconds[0], num_tokens / seconds[1]

    async def write(self, body: Body) -> Written:
        """One answer to its end."""
        request = parse_chat(body)
        pieces, num_tokens = [], 0
        answering = self._engine.answerer.answer(request.conversation, request.options, LOCAL)
        async with aclosing(answering) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    pieces.append(event.text)
                elif isinstance(event, Finished):
                    num_tokens = event.usage.completion_tokens
        return Written(text="".join(pieces), num_tokens=num_tokens)

    async def _ask(self, bodies: Sequence[Body], streams: int) -> list[Written]:
        if streams == 1:
            return [await self.write(body) for body in bodies]
        return list(await asyncio.gather(*map(self.write, bodies)))


async def measure(engine: Engine, task: GuidedTask) -> Sample:
    """Both rates and how many times as fast as plain decode guessing is."""
    bench = Bench(engine)
    if task.guess == "schema":
        guided, plain = _schema_bodies(max(len(SCHEMAS), task.streams))
    else:
        guided, plain = await _prediction_bodies(bench)
    fast, slow = await bench.rates(guided, plain, task.streams)
    return Sample(value=fast / slow, also={"guided_tokens_per_s": fast, "plain_tokens_per_s": slow})


def _schema_bodies(count: int) -> tuple[list[Body], list[Body]]:
    """With the schema, and without it."""
    records = _records()
    guided, plain = [], []
    for number in range(count):
        name = SCHEMAS[number % len(SCHEMAS)]
        schema, record = records[name]
        told = json.dumps(schema)
        question = f"Write this record as JSON by the schema {told}\n\nThe record: {_in_words(record)}"
        body = {**_chat(question, seed=number), "max_tokens": _MAX_TOKENS}
        form = {"name": "record", "schema": schema, "strict": True}
        guided.append({**body, "response_format": {"type": "json_schema", "json_schema": form}})
        plain.append({**body, "ignore_eos": True})
    return guided, plain


async def _prediction_bodies(bench: Bench) -> tuple[list[Body], list[Body]]:
    """With a prediction that is nine tenths right, and without it: the same text comes either way."""
    file = find_text()
    if file is None:
        raise RuntimeError("the passages of text for prompts are not here; see benchmarks/texts.py")
    passages = Passages.open(file)
    guided, plain = [], []
    for number in range(_NUM_PREDICTIONS):
        question = f"Rewrite this text:\n\n{passages.take(_PREDICTED_TOKENS)}"
        body = {**_chat(question, seed=number), "max_tokens": _PREDICTED_TOKENS, "ignore_eos": True}
        text = (await bench.write(body)).text
        guided.append({**body, "prediction": {"type": "content", "content": _spoilt(text, seed=number)}})
        plain.append(body)
    return guided, plain


def _chat(question: str, *, seed: int) -> Body:
    messages = [{"role": "user", "content": question}]
    return {"model": "any", "messages": messages, "temperature": 0.7, "seed": seed}


def _records() -> dict[str, tuple[Any, Any]]:
    """Schema, made strict, and a valid instance of each name."""
    root = Path(os.environ.get("PENNYWEIGHT_SHARED", Path(__file__).parents[2] / "shared"))
    path = root / "data" / "jsonschemabench" / "maskbench.jsonl.gz"
    if not path.exists():
        raise RuntimeError("jsonschemabench is not here: PENNYWEIGHT_SHARED names the folder of data")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [row for row in map(json.loads, lines) if row["id"] in SCHEMAS]
    valid = {row["id"]: next(test["data"] for test in row["tests"] if test["valid"]) for row in rows}
    return {row["id"]: (_strict(row["schema"]), valid[row["id"]]) for row in rows}


def _strict(schema: Any) -> Any:
    """Every property required and no others, at every level."""
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _strict(value) for key, value in schema.items()}
    properties = strict.get("properties")
    if isinstance(properties, dict) and strict.get("type") == "object":
        return {**strict, "required": list(properties), "additionalProperties": False}
    return strict


def _in_words(record: Any, name: str = "") -> str:
    """A record as a sentence of names and values."""
    if isinstance(record, dict):
        return "; ".join(_in_words(value, key.replace("_", " ")) for key, value in record.items())
    if isinstance(record, list):
        return "; ".join(_in_words(value, name) for value in record)
    return f"the {name} is {record}"


def _spoilt(text: str, *, seed: int) -> str:
    """`text` with a tenth of its words replaced, in runs."""
    words = text.split(" ")
    source = random.Random(seed)
    starts = source.sample(range(len(words) // _SPOILT_RUN), round(_SPOILT_SHARE * len(words) / _SPOILT_RUN))
    for start in starts:
        for place in range(start * _SPOILT_RUN, (start + 1) * _SPOILT_RUN):
            words[place] = source.choice(words)
    return " ".join(words)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guided_speed")
    parser.add_argument("model", type=Path)
    parser.add_argument("task", type=GuidedTask.from_json)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    with Engine.open(arguments.model, threads=arguments.threads) as engine:
        sample = asyncio.run(measure(engine, arguments.task))
    print(json.dumps(sample.to_data()))


if __name__ == "__main__":
    main()
