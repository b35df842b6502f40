"""A task timed on an engine that can only generate whole answers, such as most Python packages.

Decode is the difference of two runs on fresh prompts: one that writes a single token and one that writes the
task's tokens more. So neither reading the prompt nor the call's own cost counts against the engine.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.samples import Sample
from benchmarks.workload import Sampling, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    Generate = Callable[[list[list[int]], int, Sampling], None]
    """Continue every prompt by exactly this many tokens, whatever they are."""

VOCABULARY = 49_000  # ids below are ordinary tokens of every model measured here


def time_task(task: Task, generate: Generate) -> Sample:
    """Warm up, then run the task once; tokens per second of all streams together."""
    source = random.Random(0)
    generate([_tokens(source, 64)], 16, task.sampling)
    prefix = _tokens(source, task.context) if task.prefix == "shared" else []
    if prefix:
        generate([prefix], 1, task.sampling)  # an engine that keeps prefixes has it from here on
    short_s = _time(source, task, prefix, generate, num_tokens=1)
    if task.measured == "prompt":
        return Sample(value=task.context / short_s)
    long_s = _time(source, task, prefix, generate, num_tokens=1 + task.tokens)
    return Sample(value=task.streams * task.tokens / (long_s - short_s))


def parse_arguments() -> argparse.Namespace:
    """`model`, `task` and `--threads`, as every measuring program takes them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("task", type=Task.from_json)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def report(sample: Sample) -> None:
    """Print the sample as the last line, as every measuring program does."""
    print(json.dumps(sample.to_data()))


def _time(
    source: random.Random, task: Task, prefix: list[int], generate: Generate, *, num_tokens: int
) -> float:
    own = 1 if prefix else max(1, task.context)
    prompts = [prefix + _tokens(source, own) for _ in range(task.streams)]
    started_s = perf_counter()
    generate(prompts, num_tokens, task.sampling)
    return perf_counter() - started_s


def _tokens(source: random.Random, count: int) -> list[int]:
    return [source.randrange(1000, VOCABULARY) for _ in range(count)]
