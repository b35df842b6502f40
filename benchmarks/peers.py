"""Pennyweight beside llama.cpp: same files, same token counts, turn by turn in one run.

Machines are shared and noisy, so every round runs every contender on every file once, in an order that moves
by one each round; what counts is the median over rounds and the ratio of medians. llama.cpp runs as its
native and as its AVX2 build, with and without flash attention; the ratio is taken against the best of these.
Our AVX2 kernels are held against its AVX2 build. Run it on an idle machine: threads of both sides wait at
barriers.

    python -m benchmarks.peers --model SmolLM2-135M-Instruct.Q4_1.gguf
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks import llamacpp
from benchmarks.machine import describe_machine
from benchmarks.workload import METRIC_LABELS, METRICS, Run, summarise
from pennyweight.api import find_model

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "peers.json"


class Contender(Protocol):
    """An engine build that can run the workload on a file."""

    @property
    def label(self) -> str: ...
    def measure(self, model: Path, *, threads: int) -> Run: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pennyweight:
    """This engine in a process of its own; `isa` None takes the best instruction set."""

    label: str
    isa: str | None = None

    def measure(self, model: Path, *, threads: int) -> Run:
        """One run of the workload, see `decoder_speed`."""
        command = [sys.executable, "-m", "benchmarks.decoder_speed", str(model), "--threads", str(threads)]
        environment = {name: value for name, value in os.environ.items() if name != "PENNYWEIGHT_ISA"}
        if self.isa is not None:
            environment["PENNYWEIGHT_ISA"] = self.isa
        output = subprocess.run(
            command, check=True, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        result = json.loads(output.stdout)
        del result["target"]
        return Run(**result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One build of llama.cpp with one choice of flash attention."""

    label: str
    build: llamacpp.LlamaCpp
    flash_attention: str

    def measure(self, model: Path, *, threads: int) -> Run:
        """One run of the workload by llama.cpp's own tools."""
        return self.build.measure(model, threads=threads, flash_attention=self.flash_attention)


def contenders(builds: dict[str, llamacpp.LlamaCpp], only: str | None) -> list[Contender]:
    """Ours and theirs, on the best and on the AVX2 instruction set, or on AVX2 alone."""
    chosen: list[Contender] = []
    if only != "avx2":
        chosen.append(Pennyweight(label="pennyweight"))
    if "avx2" in builds:
        chosen.append(Pennyweight(label="pennyweight avx2", isa="avx2"))
    for name, build in builds.items():
        if only in (None, name):
            chosen += [Peer(label=f"llama.cpp {name}", build=build, flash_attention="on")]
            chosen += [
                Peer(label=f"llama.cpp {name}, no flash attention", build=build, flash_attention="off")
            ]
    return chosen


def compare(
    candidates: Sequence[Contender], files: dict[str, Path], *, rounds: int, threads: int
) -> dict[str, dict[str, Any]]:
    """File label -> contender label -> metric -> median, low and high in tokens per second."""
    runs: dict[str, dict[str, list[Run]]] = {label: defaultdict(list) for label in files}
    for number in range(rounds):
        first = number % len(candidates)
        order = [*candidates[first:], *candidates[:first]]
        for file_label, path in files.items():
            for contender in order:
                run = contender.measure(path, threads=threads)
                runs[file_label][contender.label].append(run)
                figures = ", ".join(f"{metric} {getattr(run, metric):.0f}" for metric in METRICS)
                print(f"round {number + 1}: {file_label}, {contender.label}: {figures}", file=sys.stderr)
    return {
        file_label: {contender.label: summarise(own[contender.label]) for contender in candidates}
        for file_label, own in runs.items()
    }


def ratios(tests: dict[str, dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """File -> our build -> metric -> our median over the best median of llama.cpp.

    Our AVX2 build is held against their AVX2 build, our best against the better of both.
    """
    result: dict[str, dict[str, dict[str, float]]] = {}
    for file_label, figures in tests.items():
        result[file_label] = {}
        for ours in (label for label in figures if label.startswith("pennyweight")):
            within = "llama.cpp avx2" if ours.endswith("avx2") else "llama.cpp"
            theirs = [own for label, own in figures.items() if label.startswith(within)]
            result[file_label][ours] = {
                metric: round(_median(figures[ours], metric) / max(_median(own, metric) for own in theirs), 2)
                for metric in METRICS
            }
    return result


def _median(figures: dict[str, Any], metric: str) -> float:
    return float(figures[metric]["median"])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument("--model", help="a catalog name or a Q4_1 file; by default the default model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", choices=["native", "avx2"], help="one build on both sides")
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    folder = ROOT / "build" / "peers"
    builds = llamacpp.install(folder)
    source = find_model(arguments.model, None)
    files = {"Q4_1": source, "Q4_0": builds["native"].requantise(source, folder / f"{source.stem}.Q4_0.gguf")}
    candidates = contenders(builds, arguments.only)
    tests = compare(candidates, files, rounds=arguments.rounds, threads=arguments.threads)
    report = {
        "machine": describe_machine(),
        "versions": {"pennyweight": version("pennyweight"), "llama.cpp": llamacpp.RELEASE},
        "rounds": arguments.rounds,
        "threads": arguments.threads,
        "tokens_per_second": tests,
        "ratios": ratios(tests),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for file_label, own in ratios(tests).items():
        for label, values in own.items():
            told = ", ".join(f"{METRIC_LABELS[metric]} {values[metric]:.2f}x" for metric in METRICS)
            print(f"{file_label}, {label} over llama.cpp: {told}")


if __name__ == "__main__":
    main()
