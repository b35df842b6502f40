"""What context costs: decoding and reading on after 1k to 32k tokens of the default model, and 128k tokens.

A step must read the weights and the keys and values of every position, so decoding is told beside the time a
plain streaming read of those bytes takes in the same run. Beyond the model's own 8k its text means nothing;
the time does not know. The 128k run goes through the whole engine, with a small model of random weights whose
positions are scaled for it.

Each part of a round is a process of its own and written when it is through: the same command again goes on
where a run was cut off. `make docs` renders the rounds into docs/benchmarks.md.

    python -m benchmarks.context --rounds 3
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe_machine
from benchmarks.random_decoder import VOCAB_SIZE, random_decoder
from benchmarks.rest import undisturbed
from pennyweight.api import find_model
from pennyweight.core import CacheNamespace, FinishedEvent, Request, SamplingParams, TokenSpan
from pennyweight.engine.limits import Limits
from pennyweight.engine.loop import StepLoop
from pennyweight.models.load import load
from pennyweight.native import _native

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.core import Event

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "context.json"
CONTEXTS = (1024, 2048, 4096, 8192, 16384, 32768)
CHUNK = 512
DECODE_STEPS = 24
REPEATS = 5
PARTS = ("longest", "contexts")
LONGEST = 131_072


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


def measure_contexts(model: Path, contexts: Sequence[int]) -> list[AtContext]:
    """The default model's decoder at growing depth of one stream."""
    loaded = load(model)
    decoder = _native.Decoder(loaded.model, num_pages=contexts[-1] // _native.PAGE_TOKENS + 16)
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
    for context in contexts:
        while depth < context:
            chunk_s = _run(decoder, row(_tokens(draw, loaded.spec.vocab_size, CHUNK), depth))
            depth += CHUNK
        step_s = median(
            _run(decoder, row([0], depth), steps=DECODE_STEPS) / DECODE_STEPS for _ in range(REPEATS)
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
        print(rows[-1], file=sys.stderr)
    return rows


def measure_longest(context: int = LONGEST) -> Longest:
    """A prompt that fills the context and 40 tokens of answer through scheduler, pages and step loop."""
    num_pages = context // _native.PAGE_TOKENS
    decoder = _native.Decoder(random_decoder(), num_pages=num_pages)
    limits = Limits(vocab_size=VOCAB_SIZE, context_length=context, num_pages=num_pages)
    loop = StepLoop(decoder, _native, limits=limits, end_tokens=frozenset())
    prompt = tuple(_tokens(random.Random(1), VOCAB_SIZE, context - 72))
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


class Record:
    """The rounds in the file at `path`; each part of a round is written as soon as it is measured."""

    def __init__(self, path: Path, *, fresh: bool) -> None:
        self._path = path
        self._data: dict[str, Any] = {"longest": [], "contexts": []}
        if path.exists() and not fresh:
            self._data |= json.loads(path.read_text(encoding="utf-8"))

    def count(self, part: str) -> int:
        return len(self._data[part])

    def add(self, part: str, measured: Any) -> None:
        self._data["machine"] = describe_machine()
        self._data[part].append(measured)
        self._path.write_text(json.dumps(self._data, indent=1) + "\n", encoding="utf-8")


def measure_part(part: str, *arguments: str) -> Any:
    """A part in a process of its own, so that its peak of memory is its own. RuntimeError if it fails."""
    command = [sys.executable, "-m", "benchmarks.context", "--part", part, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed")
    return json.loads(done.stdout.splitlines()[-1])


def _print_part(part: str, arguments: argparse.Namespace) -> None:
    if part == "longest":
        print(json.dumps(asdict(measure_longest(arguments.longest))))
        return
    contexts = [context for context in CONTEXTS if context <= arguments.deepest]
    measured = measure_contexts(find_model(arguments.model, None), contexts)
    print(json.dumps([asdict(row) for row in measured]))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.context")
    parser.add_argument("--model", help="a catalog name or a file; by default the default model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after this long")
    parser.add_argument("--fresh", action="store_true", help="forget the rounds recorded so far")
    parser.add_argument("--deepest", type=int, default=CONTEXTS[-1], help="leave out deeper contexts")
    parser.add_argument("--longest", type=int, default=LONGEST, help="tokens of the longest run")
    parser.add_argument("--part", choices=PARTS, help="measure one part and print it")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    if arguments.part is not None:
        _print_part(arguments.part, arguments)
        return
    options = ["--deepest", str(arguments.deepest), "--longest", str(arguments.longest)]
    if arguments.model is not None:
        options += ["--model", arguments.model]
    record = Record(arguments.output, fresh=arguments.fresh)
    end_s = monotonic() + arguments.seconds
    for number in range(arguments.rounds):
        for part in PARTS:
            if record.count(part) > number:
                continue
            if monotonic() > end_s:
                print("not complete: run it again to go on")
                return
            record.add(part, undisturbed(partial(measure_part, part, *options), label=part))
    print("complete; `make docs` writes the table")


if __name__ == "__main__":
    main()
