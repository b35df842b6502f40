"""From the start of the process to the first byte of an answer: `penny run` beside llama.cpp, in turn.

Ours is what a person waits for: interpreter, imports, loading, the prompt's first token on standard output.
llama.cpp's is `llama-bench` loading the file and computing one token, without prompt, tokenizer or template:
a lower bound of what its programs need. After the first round the file is in the system's cache for both.

    python -m benchmarks.start_up --rounds 9
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import llamacpp
from benchmarks.machine import describe_machine
from pennyweight.api import find_model

ROOT = Path(__file__).parents[1]
QUESTION = "Name the capital of France."
ROUNDS = 9


def measure(
    model: Path, *, build: llamacpp.LlamaCpp | None, rounds: int = ROUNDS, threads: int
) -> dict[str, Any]:
    """Seconds (median, low, high of `rounds`) of ours and, if there is a build, of llama.cpp; their ratio."""
    ours = [sys.executable, "-m", "pennyweight", "run", "--model", str(model), "--temperature", "0", QUESTION]
    commands = {"pennyweight": ours}
    if build is not None:
        bench = [str(build.tools / "llama-bench"), "-m", str(model), "-t", str(threads)]
        commands["llama.cpp"] = [*bench, "-p", "0", "-n", "1", "-r", "1", "--no-warmup"]
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            taken = _first_byte_s(command) if name == "pennyweight" else _end_s(command)
            if number > 0:  # the first round fills the system's cache
                seconds[name].append(taken)
    figures: dict[str, Any] = {name: _summary(values) for name, values in seconds.items()}
    if build is not None:
        figures["ratio"] = round(figures["llama.cpp"]["median"] / figures["pennyweight"]["median"], 2)
    return {"unit": "s", "rounds": rounds, **figures}


def _first_byte_s(command: list[str]) -> float:
    started_s = time.perf_counter()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.read(1)
        taken_s = time.perf_counter() - started_s
        if not first:
            raise RuntimeError(f"{' '.join(command)} answered nothing: {process.stderr.read().decode()}")
        process.kill()
    return taken_s


def _end_s(command: list[str]) -> float:
    started_s = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return time.perf_counter() - started_s


def _summary(values: list[float]) -> dict[str, float]:
    return {"median": round(median(values), 3), "low": round(min(values), 3), "high": round(max(values), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.start_up")
    parser.add_argument("--model", help="a catalog name or a file; by default the default model")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peers", type=Path, default=ROOT / "build" / "peers", help="folder of llama.cpp")
    parser.add_argument("--alone", action="store_true", help="without llama.cpp")
    arguments = parser.parse_args()
    build = None if arguments.alone else llamacpp.install(arguments.peers)["native"]
    model = find_model(arguments.model, None)
    figures = measure(model, build=build, rounds=arguments.rounds, threads=arguments.threads)
    print(json.dumps({"machine": describe_machine(), "start_up": figures}, indent=2))


if __name__ == "__main__":
    main()
