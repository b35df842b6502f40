"""What context costs: decoding and reading on after 1k to 32k tokens of the default model, and 128k tokens.

A step must read the weights and the keys and values of every position, so decoding is told beside the time a
plain streaming read of those bytes takes in the same run. Beyond the model's own 8k its text means nothing;
the time does not know. The 128k run goes through the whole engine, with a small model of random weights whose
positions are scaled for it.

    python -m benchmarks.context --output benchmarks/results/context.json
"""

from __future__ import annotations

import argparse
import json
import random
import struct
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.machine import describe_machine
from pennyweight.api import find_model
from pennyweight.core import CacheNamespace, FinishedEvent, Request, SamplingParams, TokenSpan
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.models.load import load
from pennyweight.models.rope import rope_spec
from pennyweight.native import _native

if TYPE_CHECKING:
    from pennyweight.core import Event

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "context.json"
CONTEXTS = (1024, 2048, 4096, 8192, 16384, 32768)
CHUNK = 512
DECODE_STEPS = 24
ROUNDS = 5
LONGEST = 131_072
_LAYERS, _HEADS, _KV_HEADS, _HEAD_DIM, _D_MODEL, _D_FF, _VOCAB = 4, 4, 1, 64, 256, 768, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class AtContext:
    """Cost at one depth. `decode_bound`: streaming time of weights and KV over the measured step's time."""

    context: int
    decode_ms: float
    decode_tokens_per_second: float
    decode_bound: float
    prompt_tokens_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Longest:
    """One request of `prompt_tokens` through the whole engine."""

    prompt_tokens: int
    prompt_seconds: float
    decode_ms: float
    kv_mib: float
    resident_mib: float


def measure_contexts(model: Path) -> list[AtContext]:
    """The default model's decoder at growing depth of one stream."""
    loaded = load(model)
    decoder = _native.Decoder(loaded.model, num_pages=CONTEXTS[-1] // _native.PAGE_TOKENS + 16)
    bandwidth = _native.measure_bandwidth(decoder.num_threads)
    sampler = decoder.open_sampler(seed=0, temperature=0.0)

    def row(tokens: list[int], depth: int) -> _native.Row:
        pages = list(range(decoder.num_pages))
        return _native.Row(
            tokens=tokens, position=depth, pages=pages, sampler=sampler, logits=_native.Logits.LAST
        )

    draw = random.Random(0)
    rows = []
    depth = 0
    for context in CONTEXTS:
        while depth < context:
            chunk_s = _run(decoder, row(_tokens(draw, loaded.spec.vocab_size, CHUNK), depth))
            depth += CHUNK
        step_s = median(
            _run(decoder, row([0], depth), steps=DECODE_STEPS) / DECODE_STEPS for _ in range(ROUNDS)
        )
        kv_bytes = decoder.page_bytes * depth / _native.PAGE_TOKENS
        rows.append(
            AtContext(
                context=context,
                decode_ms=round(step_s * 1e3, 2),
                decode_tokens_per_second=round(1 / step_s, 1),
                decode_bound=round((loaded.model.weight_bytes + kv_bytes) / bandwidth / step_s, 3),
                prompt_tokens_per_second=round(CHUNK / chunk_s, 1),
            )
        )
        print(rows[-1])
    return rows


def measure_longest() -> Longest:
    """131,000 tokens of prompt and 40 of answer through scheduler, pages and step loop."""
    num_pages = LONGEST // _native.PAGE_TOKENS
    decoder = _native.Decoder(_random_model(), num_pages=num_pages)
    limits = Limits(vocab_size=_VOCAB, context_length=LONGEST, num_pages=num_pages)
    loop = StepLoop(decoder, _native, limits=limits, end_tokens=frozenset())
    prompt = tuple(_tokens(random.Random(1), _VOCAB, LONGEST - 72))
    finished: list[FinishedEvent] = []
    done = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, FinishedEvent):
            finished.append(event)
            done.set()

    request = Request(
        id="longest",
        prompt=(TokenSpan(prompt),),
        sampling=SamplingParams(temperature=0, max_tokens=40),
        namespace=CacheNamespace(model="random"),
    )
    loop.submit(request, listen)
    done.wait()
    loop.close()
    [event] = finished
    if event.error is not None:
        raise RuntimeError(event.error)
    return Longest(
        prompt_tokens=len(prompt),
        prompt_seconds=round(event.timings.ttft_s, 1),
        decode_ms=round(event.timings.decode_s / 39 * 1e3, 2),
        kv_mib=round(decoder.page_bytes * num_pages / 2**20, 1),
        resident_mib=round(_peak_resident_mib(), 1),
    )


def _random_model() -> _native.Model:
    """Q4_0 weights of random bits, scaled so that states stay finite; positions interpolated 16-fold."""
    draw = random.Random(2)
    scale = struct.pack("<e", 0.01)

    def matrix(rows: int, columns: int) -> _native.PackedMatrix:
        blocks = b"".join(scale + draw.randbytes(16) for _ in range(rows * columns // 32))
        return _native.PackedMatrix(blocks, type="Q4_0", rows=rows, columns=columns)

    ones = struct.pack(f"<{_D_MODEL}f", *[1.0] * _D_MODEL)
    layers = [
        _native.LayerWeights(
            attention_norm=ones,
            query=matrix(_HEADS * _HEAD_DIM, _D_MODEL),
            key=matrix(_KV_HEADS * _HEAD_DIM, _D_MODEL),
            value=matrix(_KV_HEADS * _HEAD_DIM, _D_MODEL),
            output=matrix(_D_MODEL, _HEADS * _HEAD_DIM),
            feed_forward_norm=ones,
            gate=matrix(_D_FF, _D_MODEL),
            up=matrix(_D_FF, _D_MODEL),
            down=matrix(_D_MODEL, _D_FF),
        )
        for _ in range(_LAYERS)
    ]
    rope = rope_spec(base=10_000.0, head_dim=_HEAD_DIM, rotary_dim=_HEAD_DIM, linear_factor=16.0)
    return _native.Model(
        vocab_size=_VOCAB,
        d_model=_D_MODEL,
        num_heads=_HEADS,
        num_kv_heads=_KV_HEADS,
        head_dim=_HEAD_DIM,
        d_ff=_D_FF,
        norm_eps=1e-5,
        activation="silu",
        attention_scale=_HEAD_DIM**-0.5,
        embedding_scale=1.0,
        windows=[0] * _LAYERS,
        ropes=[rope.inverse_frequencies],
        rope_of_layer=[0] * _LAYERS,
        layers=layers,
        embedding=matrix(_VOCAB, _D_MODEL),
        final_norm=ones,
    )


def _run(decoder: _native.Decoder, row: _native.Row, *, steps: int = 1) -> float:
    start = perf_counter()
    decoder.begin([row], steps=steps)
    while not decoder.finish(timeout_s=1.0)[1]:
        pass
    return perf_counter() - start


def _tokens(draw: random.Random, vocab_size: int, count: int) -> list[int]:
    return [draw.randrange(vocab_size) for _ in range(count)]


def _peak_resident_mib() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("the system does not tell the peak of resident memory")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context")
    parser.add_argument("--model", help="a catalog name or a file; by default the default model")
    parser.add_argument("--output", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    # First, so that its peak of memory is its own.
    longest = measure_longest()
    print(longest)
    report = {
        "machine": describe_machine(),
        "longest": asdict(longest),
        "contexts": [asdict(row) for row in measure_contexts(find_model(arguments.model, None))],
    }
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
