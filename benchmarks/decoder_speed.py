"""Our side in process: one task on the native decoder, in a process of its own as the peers' tools are.

`PENNYWEIGHT_ISA` chooses the kernels. Prints one JSON object: tokens per second, and their share of what the
machine could do at most, measured in the same process: for a prompt the peak rate of int8 products, for
decode the time a streaming read of the same weights takes.

    python -m benchmarks.decoder_speed MODEL.gguf '{"measured": "prompt", "context": 512}' --threads 2
"""

from __future__ import annotations

import argparse
import json
import random
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.samples import Sample
from benchmarks.workload import TEMPERATURE, TOP_P, Task
from pennyweight.cli.measure import layer_macs
from pennyweight.models.load import load
from pennyweight.native._native import (
    PAGE_TOKENS,
    Decoder,
    Logits,
    Row,
    measure_bandwidth,
    measure_int8_peak,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.models.load import LoadedModel
    from pennyweight.native._native import Adapter

CHUNK_TOKENS = 512  # of a prompt in one step, llama.cpp's default too
_MAX_STEPS = 64  # of one plan, as the engine's scheduler makes them
_WARM_UP_TOKENS = 64


class Stream:
    """One sequence: its pages, its sampler and how far it has read. Its sampler never ends it."""

    def __init__(
        self, decoder: Decoder, pages: list[int], *, seed: int, task: Task, adapter: Adapter | None
    ) -> None:
        self._decoder = decoder
        self._adapter = adapter
        self._pages = pages
        if task.sampling == "sampled":
            self._sampler = decoder.open_sampler(seed=seed, temperature=TEMPERATURE, top_p=TOP_P)
        else:
            self._sampler = decoder.open_sampler(seed=seed, temperature=0.0)
        self.position = 0

    def row(self, tokens: list[int], logits: Logits) -> Row:
        """The next `tokens` as a row; sampled from if it has logits. They are counted as read."""
        row = Row(
            tokens=tokens,
            position=self.position,
            pages=self._pages,
            sampler=None if logits is Logits.NONE else self._sampler,
            logits=logits,
            adapter=self._adapter,
        )
        self.position += len(tokens)
        return row

    def close(self) -> None:
        self._decoder.close_sampler(self._sampler)


class Bench:
    """Tasks on one decoder; each starts from empty streams, to which adapters are dealt out in turn."""

    def __init__(
        self, decoder: Decoder, *, vocab_size: int, adapters: Sequence[Adapter | None] = (None,)
    ) -> None:
        self._decoder = decoder
        self._adapters = adapters
        self._random = random.Random(0)
        self._vocab_size = vocab_size

    def run(self, task: Task) -> float:
        """Tokens per second, of all streams together."""
        streams = self._open(task)
        if task.measured == "prompt":
            started_s = perf_counter()
            self._read(streams[0], task.context)
            num_tokens = task.context
        else:
            last = self._contexts(streams, task)
            started_s = perf_counter()
            self._decode(streams, last, task.tokens)
            num_tokens = task.tokens * task.streams
        seconds = perf_counter() - started_s
        for stream in streams:
            stream.close()
        return num_tokens / seconds

    def _open(self, task: Task) -> list[Stream]:
        """Streams over the first pages of the pool; a shared prefix takes whole pages that all have first."""
        shared = task.context if task.prefix == "shared" else 0
        if shared % PAGE_TOKENS:
            raise ValueError(f"a shared prefix has whole pages of {PAGE_TOKENS} tokens, not {shared} tokens")
        prefix = list(range(shared // PAGE_TOKENS))
        own = pages_of(task.context - shared + task.tokens)
        starts = [len(prefix) + number * own for number in range(task.streams)]
        pages = [prefix + list(range(start, start + own)) for start in starts]
        return [
            Stream(self._decoder, each, seed=seed, task=task, adapter=adapter)
            for seed, (each, adapter) in enumerate(zip(pages, cycle(self._adapters), strict=False))
        ]

    def _contexts(self, streams: list[Stream], task: Task) -> list[int]:
        """Read what stands before the first timed token; returns each stream's first token."""
        if task.prefix == "shared":
            first = self._read(streams[0], task.context)
            for stream in streams[1:]:
                stream.position = task.context
            return [first] * len(streams)
        return [self._read(stream, task.context) if task.context else self._token() for stream in streams]

    def _read(self, stream: Stream, num_tokens: int) -> int:
        """Read a random prompt in chunks; returns the token sampled after it."""
        for start in range(0, num_tokens, CHUNK_TOKENS):
            stop = min(num_tokens, start + CHUNK_TOKENS)
            tokens = [self._token() for _ in range(start, stop)]
            last = self._step([stream.row(tokens, Logits.LAST if stop == num_tokens else Logits.NONE)])
        return last[0]

    def _decode(self, streams: list[Stream], last: list[int], num_tokens: int) -> None:
        for done in range(0, num_tokens, _MAX_STEPS):
            steps = min(_MAX_STEPS, num_tokens - done)
            rows = [stream.row([token], Logits.LAST) for stream, token in zip(streams, last, strict=True)]
            last = self._step(rows, steps=steps)
            for stream in streams:
                stream.position += steps - 1

    def _step(self, rows: list[Row], *, steps: int = 1) -> list[int]:
        """Run one plan to its end; returns each row's last sampled token, -1 where nothing was sampled."""
        self._decoder.begin(rows, steps=steps)
        done = False
        while not done:
            finished, done = self._decoder.finish()
            if finished:
                last = [result.tokens[-1] if result.tokens else -1 for result in finished[-1]]
        return last

    def _token(self) -> int:
        return self._random.randrange(self._vocab_size)


def measure(model: Path, task: Task, *, threads: int) -> Sample:
    """Load `model`, warm up, run the task once. Pages have their memory before, as llama.cpp's cache has."""
    loaded = load(model)
    shared = task.context if task.prefix == "shared" else 0
    num_pages = pages_of(shared) + task.streams * pages_of(task.context - shared + task.tokens)
    num_pages = max(num_pages, pages_of(CHUNK_TOKENS))
    decoder = Decoder(loaded.model, num_pages=num_pages, num_threads=threads)
    for page in range(num_pages):
        decoder.commit_page(page)
    bench = Bench(decoder, vocab_size=loaded.spec.vocab_size)
    bench.run(Task(measured="prompt", context=min(CHUNK_TOKENS, num_pages * PAGE_TOKENS)))
    bench.run(Task(measured="decode", context=0, tokens=_WARM_UP_TOKENS))
    speed = bench.run(task)
    return Sample(value=speed, also=_shares(loaded, task, speed, decoder.num_threads))


def pages_of(num_tokens: int) -> int:
    """Pages that hold this many tokens."""
    return -(-num_tokens // PAGE_TOKENS)


def _shares(loaded: LoadedModel, task: Task, speed: float, threads: int) -> dict[str, float]:
    """What `speed` is of the machine's limit. A tied embedding is read as the head, so all weights count."""
    if task.measured == "prompt":
        return {"int8_peak_share": speed * layer_macs(loaded.spec) / measure_int8_peak(threads)}
    steps_per_s = speed / task.streams
    return {"bandwidth_share": steps_per_s * loaded.model.weight_bytes / measure_bandwidth(threads)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoder_speed")
    parser.add_argument("model", type=Path)
    parser.add_argument("task", type=Task.from_json)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each physical core")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.model, arguments.task, threads=arguments.threads).to_data()))


if __name__ == "__main__":
    main()
