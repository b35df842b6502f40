"""What adapters cost: a task with random adapters on all matrices, and without, by turns in one process.

Prints one JSON object: the speed with adapters as a share of the speed without (medians), both rates, the
bytes of an adapter, and the time it takes to make one from float32 factors in memory.

    python -m benchmarks.adapter_speed MODEL.gguf '{"adapters": 8, "streams": 32}' --threads 2
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.decoder_speed import Bench, pages_of
from benchmarks.samples import Sample
from benchmarks.workload import Task
from pennyweight.models.load import load
from pennyweight.native._native import Adapter, Decoder, LowRank

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.load import LoadedModel
    from pennyweight.models.spec import ModelSpec

_REPEATS = 5  # of both sides, in turn


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTask:
    """`adapters` of them, dealt out to the streams; a prompt is one stream's."""

    adapters: int
    rank: int = 16
    streams: int = 1
    context: int = 128
    tokens: int = 64  # decoded by each stream; 0: the prompt of `context` tokens is what is measured

    @classmethod
    def from_json(cls, text: str) -> AdapterTask:
        """What `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """The task as the argument of the program."""
        return json.dumps(asdict(self))

    def plain(self) -> Task:
        """What both sides do."""
        return Task(
            measured="decode" if self.tokens else "prompt",
            context=self.context,
            tokens=self.tokens,
            streams=self.streams,
        )


def random_factors(spec: ModelSpec, *, rank: int, seed: int) -> list[dict[str, tuple[bytes, bytes]]]:
    """For each layer and matrix `down` `[rank, in]` and `up` `[out, rank]` in float32."""
    draw = np.random.default_rng(seed)
    heads, kv = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
    d, ff = spec.d_model, spec.d_ff
    shapes: Mapping[str, tuple[int, int]] = {
        "query": (heads, d),
        "key": (kv, d),
        "value": (kv, d),
        "output": (d, heads),
        "gate": (ff, d),
        "up": (ff, d),
        "down": (d, ff),
    }

    def factor(rows: int, columns: int) -> bytes:
        return (draw.standard_normal((rows, columns), np.float32) * np.float32(0.01)).tobytes()

    return [
        {name: (factor(rank, columns), factor(rows, rank)) for name, (rows, columns) in shapes.items()}
        for _ in range(spec.num_layers)
    ]


def random_adapter(loaded: LoadedModel, *, rank: int, seed: int) -> tuple[Adapter, float]:
    """An adapter on every matrix, and the seconds it took to make it from its factors."""
    factors = random_factors(loaded.spec, rank=rank, seed=seed)
    started_s = perf_counter()
    layers = [
        {name: LowRank(down, up, rank=rank, scale=2.0) for name, (down, up) in layer.items()}
        for layer in factors
    ]
    return Adapter(loaded.model, layers), perf_counter() - started_s


def measure(model: Path, task: AdapterTask, *, threads: int) -> Sample:
    """Load `model`, make the adapters, and run the task by turns with and without them."""
    loaded = load(model)
    made = [random_adapter(loaded, rank=task.rank, seed=seed) for seed in range(task.adapters)]
    num_pages = task.streams * pages_of(task.context + task.tokens)
    decoder = Decoder(loaded.model, num_pages=num_pages, num_threads=threads)
    sides = {
        "adapted": Bench(decoder, vocab_size=loaded.spec.vocab_size, adapters=[each for each, _ in made]),
        "base": Bench(decoder, vocab_size=loaded.spec.vocab_size),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(_REPEATS + 1):
        for name, bench in sides.items():
            rate = bench.run(task.plain())
            if turn:  # the first turn warms up
                rates[name].append(rate)
    adapted, base = median(rates["adapted"]), median(rates["base"])
    also = {
        "adapted_tokens_per_s": adapted,
        "base_tokens_per_s": base,
        "adapter_bytes": float(made[0][0].nbytes),
        "making_ms": 1000 * median(seconds for _, seconds in made),
    }
    return Sample(value=adapted / base, also=also)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.adapter_speed")
    parser.add_argument("model", type=Path)
    parser.add_argument("task", type=AdapterTask.from_json)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each physical core")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.model, arguments.task, threads=arguments.threads).to_data()))


if __name__ == "__main__":
    main()
