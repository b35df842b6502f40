"""Measurements of the real decoder, without scheduler or text: what `penny bench` reports.

A prompt figure is one `begin`/`finish` over chunks of a fresh prompt; a decode figure is steps of one token
for each of several streams behind a short prompt. Shares compare with what this machine reads and
multiplies at most.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import pages_for

if TYPE_CHECKING:
    from pennyweight.models.load import LoadedModel
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native import _native

CHUNK_TOKENS = 512
_STREAM_CONTEXT = 128  # tokens each stream has behind it when decoding is measured
_LEAST_S = 0.5  # a figure is repeated until it has taken this long


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Measured limits: bytes and int8 multiply-accumulates per second."""

    target: str
    threads: int
    bytes_per_s: float
    macs_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Tokens per second, and what weights read and products made are of bandwidth and integer peak."""

    kind: str  # "prompt" or "decode"
    length: int  # tokens of prompt, or of context behind each stream
    streams: int
    tokens_per_s: float
    bandwidth_share: float
    peak_share: float


class Bench:
    """One decoder over one model; figures come one at a time so that a table can grow."""

    def __init__(self, loaded: LoadedModel, *, longest: int, streams: int, threads: int) -> None:
        from pennyweight.native import _native

        self._native = _native
        self._spec = loaded.spec
        self._weight_bytes = loaded.model.weight_bytes
        self._pages_per_stream = pages_for(max(longest, 2 * _STREAM_CONTEXT) + 1)
        num_pages = max(self._pages_per_stream, streams * pages_for(2 * _STREAM_CONTEXT))
        self._decoder = _native.Decoder(
            loaded.model, num_pages=num_pages, num_threads=threads, kv_format=loaded.spec.kv_format
        )
        self.machine = Machine(
            target=_native.active_target(),
            threads=self._decoder.num_threads,
            bytes_per_s=_native.measure_bandwidth(self._decoder.num_threads),
            macs_per_s=_native.measure_int8_peak(self._decoder.num_threads),
        )

    def prompt(self, length: int) -> Figure:
        """Speed of reading a prompt of `length` tokens."""
        runs, seconds = 0, 0.0
        while seconds < _LEAST_S:
            started = time.perf_counter()
            self._prefill(list(range(pages_for(length))), length)
            seconds += time.perf_counter() - started
            runs += 1
        steps = -(-length // CHUNK_TOKENS)
        return self._figure("prompt", length, 1, tokens=runs * length, steps=runs * steps, seconds=seconds)

    def decode(self, streams: int) -> Figure:
        """Speed of writing with `streams` streams at once, all tokens together."""
        pages = pages_for(2 * _STREAM_CONTEXT)
        tables = [list(range(stream * pages, (stream + 1) * pages)) for stream in range(streams)]
        for table in tables:
            self._prefill(table, _STREAM_CONTEXT)
        slots = [self._decoder.open_sampler(seed=stream, temperature=0.0) for stream in range(streams)]
        last = self._native.Logits.LAST
        steps, seconds = 0, 0.0
        while seconds < _LEAST_S:
            rows = [
                self._native.Row(tokens=[1], position=_STREAM_CONTEXT, pages=table, sampler=slot, logits=last)
                for table, slot in zip(tables, slots, strict=True)
            ]
            started = time.perf_counter()
            steps += self._run(rows, steps=_STREAM_CONTEXT - 1)
            seconds += time.perf_counter() - started
        for slot in slots:
            self._decoder.close_sampler(slot)
        return self._figure(
            "decode", _STREAM_CONTEXT, streams, tokens=steps * streams, steps=steps, seconds=seconds
        )

    def _prefill(self, pages: list[int], length: int) -> None:
        for start in range(0, length, CHUNK_TOKENS):
            stop = min(length, start + CHUNK_TOKENS)
            tokens = [position % self._spec.vocab_size for position in range(start, stop)]
            self._run([self._native.Row(tokens=tokens, position=start, pages=pages)], steps=1)

    def _run(self, rows: list[_native.Row], *, steps: int) -> int:
        """Run one plan to its end; returns the steps it took."""
        self._decoder.begin(rows, steps=steps)
        done, ran = False, 0
        while not done:
            finished, done = self._decoder.finish()
            ran += len(finished)
        return ran

    def _figure(
        self, kind: str, length: int, streams: int, *, tokens: int, steps: int, seconds: float
    ) -> Figure:
        macs = tokens * layer_macs(self._spec)
        if kind == "decode":
            macs += tokens * self._spec.vocab_size * self._spec.d_model  # the head runs for every token
        return Figure(
            kind=kind,
            length=length,
            streams=streams,
            tokens_per_s=tokens / seconds,
            bandwidth_share=steps * self._weight_bytes / seconds / self.machine.bytes_per_s,
            peak_share=macs / seconds / self.machine.macs_per_s,
        )


def layer_macs(spec: ModelSpec) -> int:
    """Multiply-accumulates of all layers' matrices for one token; attention itself is left out."""
    heads = spec.num_heads + 2 * spec.num_kv_heads
    attention = spec.d_model * heads * spec.head_dim + spec.num_heads * spec.head_dim * spec.d_model
    return spec.num_layers * (attention + 3 * spec.d_model * spec.d_ff)
