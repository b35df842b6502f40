"""Our side of the comparison: one run of the workload on the native decoder, with a greedy sampler.

Run as a program (`python -m benchmarks.decoder_speed MODEL.gguf`) so that each run is a fresh process, as the
peers' are, and `PENNYWEIGHT_ISA` chooses its kernels. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from benchmarks.workload import (
    DECODE_TOKENS,
    PROMPT_TOKENS,
    STREAM_DECODE_TOKENS,
    STREAM_PROMPT_TOKENS,
    STREAMS,
    Run,
)
from pennyweight.models.load import load
from pennyweight.native._native import PAGE_TOKENS, Decoder, Logits, Row, active_target

_MAX_STEPS = 64  # of one plan, as the engine's scheduler makes them


class Stream:
    """One sequence with its own pages and a greedy sampler that never ends it."""

    def __init__(self, decoder: Decoder, *, first_page: int, capacity: int) -> None:
        self._decoder = decoder
        self._pages = list(range(first_page, first_page + -(-capacity // PAGE_TOKENS)))
        self._sampler = decoder.open_sampler(seed=0, temperature=0.0)
        self._position = 0

    @property
    def num_pages(self) -> int:
        return len(self._pages)

    def row(self, tokens: list[int]) -> Row:
        """The next `tokens` of this stream as a row; they are counted as read."""
        row = Row(
            tokens=tokens,
            position=self._position,
            pages=self._pages,
            sampler=self._sampler,
            logits=Logits.LAST,
        )
        self._position += len(tokens)
        return row

    def decoded(self, num_tokens: int) -> None:
        """Count tokens that a plan of several steps read after the first."""
        self._position += num_tokens

    def close(self) -> None:
        self._decoder.close_sampler(self._sampler)


class Bench:
    """The workload on one decoder; every measurement starts from empty streams."""

    def __init__(self, decoder: Decoder, *, vocab_size: int) -> None:
        self._decoder = decoder
        self._random = random.Random(0)
        self._vocab_size = vocab_size

    def run(self) -> Run:
        """Warm up, then measure each metric once."""
        self.prompt_speed()
        self.decode_speed(num_tokens=_MAX_STEPS)
        return Run(
            prompt=self.prompt_speed(),
            decode=self.decode_speed(num_tokens=DECODE_TOKENS),
            streams=self.streams_speed(),
        )

    def prompt_speed(self) -> float:
        """Tokens per second of reading one prompt and sampling the token after it."""
        [stream] = self._open(1, capacity=PROMPT_TOKENS)
        started_s = perf_counter()
        self._step([stream], [self._tokens(PROMPT_TOKENS)])
        seconds = perf_counter() - started_s
        stream.close()
        return PROMPT_TOKENS / seconds

    def decode_speed(self, *, num_tokens: int) -> float:
        """Tokens per second of one stream from an empty context."""
        [stream] = self._open(1, capacity=num_tokens)
        started_s = perf_counter()
        self._decode([stream], self._tokens(1), num_tokens)
        seconds = perf_counter() - started_s
        stream.close()
        return num_tokens / seconds

    def streams_speed(self) -> float:
        """Tokens per second of all streams together, after each has read its own prompt."""
        streams = self._open(STREAMS, capacity=STREAM_PROMPT_TOKENS + STREAM_DECODE_TOKENS)
        last = []
        for stream in streams:
            last += self._step([stream], [self._tokens(STREAM_PROMPT_TOKENS)])
        started_s = perf_counter()
        self._decode(streams, last, STREAM_DECODE_TOKENS)
        seconds = perf_counter() - started_s
        for stream in streams:
            stream.close()
        return STREAMS * STREAM_DECODE_TOKENS / seconds

    def _open(self, num_streams: int, *, capacity: int) -> list[Stream]:
        streams: list[Stream] = []
        for _ in range(num_streams):
            first_page = sum(stream.num_pages for stream in streams)
            streams.append(Stream(self._decoder, first_page=first_page, capacity=capacity))
        return streams

    def _decode(self, streams: list[Stream], last: list[int], num_tokens: int) -> None:
        for done in range(0, num_tokens, _MAX_STEPS):
            steps = min(_MAX_STEPS, num_tokens - done)
            last = self._step(streams, [[token] for token in last], steps=steps)

    def _step(self, streams: list[Stream], tokens: list[list[int]], *, steps: int = 1) -> list[int]:
        """Run one plan to its end; returns each stream's last sampled token."""
        rows = [stream.row(own) for stream, own in zip(streams, tokens, strict=True)]
        self._decoder.begin(rows, steps=steps)
        done = False
        while not done:
            finished, done = self._decoder.finish()
            if finished:
                last = [result.tokens[-1] for result in finished[-1]]
        for stream in streams:
            stream.decoded(steps - 1)
        return last

    def _tokens(self, count: int) -> list[int]:
        return [self._random.randrange(self._vocab_size) for _ in range(count)]


def measure(model: Path, *, threads: int) -> tuple[Run, str]:
    """Load `model` and run the workload once; returns the figures and the instruction set used."""
    loaded = load(model)
    pages_per_stream = -(-(STREAM_PROMPT_TOKENS + STREAM_DECODE_TOKENS) // PAGE_TOKENS)
    num_pages = max(STREAMS * pages_per_stream, -(-PROMPT_TOKENS // PAGE_TOKENS))
    decoder = Decoder(loaded.model, num_pages=num_pages, num_threads=threads)
    return Bench(decoder, vocab_size=loaded.spec.vocab_size).run(), active_target()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each physical core")
    arguments = parser.parse_args()
    run, target = measure(arguments.model, threads=arguments.threads)
    print(json.dumps({"target": target, **asdict(run)}))


if __name__ == "__main__":
    main()
