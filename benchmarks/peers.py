"""Pennyweight beside its peers: same files, same token counts, turn by turn in one run.

Machines are shared and noisy, so each row's contenders are measured in rounds, in an order that moves by one
each round; what counts is the median over rounds and the ratio of medians against the peer's best
configuration. A configuration clearly behind another of the same engine after two rounds is not repeated.
Threads of all engines wait for each other, so a sample taken beside other work is worthless: one during which
others used more than a tenth of the cores is thrown away and taken again.

Samples are written one by one to `results/peers.json`; running the same command again goes on from there.

    python -m benchmarks.peers --only 'decode*' --seconds 90
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from benchmarks import environments, llamacpp
from benchmarks.adapter_rows import Adapters
from benchmarks.contenders import OURS
from benchmarks.cost_rows import Costs
from benchmarks.guided_rows import Guided
from benchmarks.http_rows import OverHttp
from benchmarks.in_process_rows import InProcess
from benchmarks.rest import TOLERANCE, MachineBusyError, undisturbed
from benchmarks.results import Results
from benchmarks.size_rows import Sizes
from pennyweight import __version__
from pennyweight.api import find_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.contenders import Contender
    from benchmarks.row import Row
    from benchmarks.samples import Sample

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "peers.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Measures rows until each contender has `rounds` samples or the time is up."""

    results: Results
    rounds: int
    end_s: float  # on the monotonic clock
    tolerance: float = TOLERANCE

    def run(self, rows: Sequence[Row]) -> bool:
        """True when everything is measured. What failed before is not tried again: drop it with --fresh."""
        for row in rows:
            failed = {each.label for each in row.contenders if self.results.has_failed(row, each)}
            for number in range(self.rounds):
                first = number % len(row.contenders)
                for contender in [*row.contenders[first:], *row.contenders[:first]]:
                    if contender.label in failed or self._is_done(row, contender, number):
                        continue
                    if monotonic() > self.end_s:
                        return False
                    if not self._measure(row, contender):
                        failed.add(contender.label)
        return True

    def _is_done(self, row: Row, contender: Contender, number: int) -> bool:
        return self.results.count(row, contender) > number or self.results.is_behind(row, contender)

    def _measure(self, row: Row, contender: Contender) -> bool:
        """One sample; a contender that fails is recorded as failed and left out of this run."""
        try:
            sample = self._sample(row, contender)
        except RuntimeError as error:
            self.results.add_failure(row, contender, str(error).strip().splitlines()[-1][:200])
            print(f"{row.key}: {contender.label} failed: {error}", file=sys.stderr)
            return False
        self.results.add(row, contender, sample)
        print(f"{row.key}: {contender.label}: {_told(sample, row.unit)}", file=sys.stderr, flush=True)
        return True

    def _sample(self, row: Row, contender: Contender) -> Sample:
        if not row.timed:
            return contender.measure()
        return undisturbed(contender.measure, label=contender.label, tolerance=self.tolerance)


def all_rows(model: str | None, gemma: Path | None, *, threads: int, sizes: bool) -> list[Row]:
    """Every row this machine can measure; the first call compiles llama.cpp and requantises its files."""
    folder = ROOT / "build" / "peers"
    builds = llamacpp.install(folder)
    source = find_model(model, None)
    requantise = builds["native"].requantise
    files = {
        "S.Q4_1": source,
        "S.Q4_0": requantise(source, folder / f"{source.stem}.Q4_0.gguf"),
        "S.Q4_0-pure": requantise(source, folder / f"{source.stem}.Q4_0-pure.gguf", head="q4_0"),
    }
    if gemma is not None:
        files["gemma"] = gemma
    in_process = InProcess(files=files, builds=builds, folder=folder, threads=threads)
    over_http = OverHttp(files=files, builds=builds, threads=threads)
    guided = Guided(files=files, threads=threads)
    costs = Costs(files=files, builds=builds, threads=threads)
    adapters = Adapters(files=files, threads=threads)
    rows = [*in_process.rows(), *over_http.rows(), *guided.rows(), *adapters.rows(), *costs.rows()]
    if sizes:
        rows += Sizes(builds=builds, folder=folder, threads=threads).rows()
    return rows


def _told(sample: Sample, unit: str) -> str:
    also = "".join(f", {name} {value:.4g}" for name, value in sample.also.items())
    return f"{sample.value:.4g} {unit}{also}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers")
    parser.add_argument(
        "--only", action="append", help="rows whose key matches, such as 'decode*'; repeatable"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin nothing after this long")
    parser.add_argument("--quick", action="store_true", help="one round, told and not recorded")
    parser.add_argument("--fresh", action="store_true", help="forget what is recorded of these rows")
    parser.add_argument("--list", action="store_true", help="print the keys of all rows")
    parser.add_argument("--model", help="a catalog name or a Q4_1 file; by default the default model")
    parser.add_argument(
        "--gemma", type=Path, help="a Gemma 3 270M Q4_K_M file; without it its rows are left out"
    )
    parser.add_argument(
        "--sizes", action="store_true", help="also shapes of 0.5 to 3 billion random weights (12 GB of files)"
    )
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--output", type=Path, default=RESULTS)
    return parser.parse_args()


def main() -> None:
    arguments = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("not complete: terminated"))  # servers are stopped
    rows = all_rows(arguments.model, arguments.gemma, threads=arguments.threads, sizes=arguments.sizes)
    results = Results(None if arguments.quick else arguments.output, [row.key for row in rows])
    if arguments.only:
        rows = [row for row in rows if any(fnmatch(row.key, pattern) for pattern in arguments.only)]
    if arguments.list:
        print("\n".join(f"{row.key:30} {row.title}" for row in rows))
        return
    results.data["versions"] = _versions()
    for row in rows:
        if arguments.fresh:
            results.drop(row.key)
        else:
            results.describe(row)
    comparison = Comparison(
        results=results,
        rounds=1 if arguments.quick else arguments.rounds,
        end_s=monotonic() + arguments.seconds,
    )
    try:
        complete = comparison.run(rows)
    except MachineBusyError as error:
        sys.exit(f"not complete: {error}")
    print("complete" if complete else "not complete: run it again to go on")


def _versions() -> dict[str, str]:
    packages = environments.PACKAGES.items()
    peers = {environments.LABELS[name]: package.partition("==")[2] for name, package in packages}
    return {OURS: __version__, "llama.cpp": llamacpp.RELEASE, **peers}


if __name__ == "__main__":
    main()
