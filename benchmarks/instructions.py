"""Instructions that a step takes, counted by callgrind: what tells a slower kernel on a machine that is busy.

The program `pennyweight_one_step` (native/tests) computes fixed steps of two small random decoders; only the
step and its sampling are counted, on AVX2, which is the newest that Debian's valgrind knows. Counts repeat
exactly, but every compiler makes its own: they are compared where the compiler is the recorded one, and the
check is skipped, visibly, where it is not, or where valgrind is missing.

    python -m benchmarks.instructions --build build/release [--record]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORDED = Path(__file__).parent / "results" / "instructions.json"
MODELS = ("llama", "gemma")
WORKLOADS = ("prompt", "decode", "decode-32")
TOLERANCE = 0.01
_PROGRAM = Path("tests") / "pennyweight_one_step"
_COUNTED = ("pennyweight::Step::run*", "pennyweight::Sampler::sample*")


def count(build: Path) -> dict[str, int]:
    """Instructions per token of every workload. RuntimeError if one does not run."""
    return {
        f"{model} {workload}": _per_token(build / _PROGRAM, workload, model)
        for model in MODELS
        for workload in WORKLOADS
    }


def judge(recorded: Mapping[str, int], counted: Mapping[str, int], *, tolerance: float) -> list[str]:
    """What takes more instructions than recorded, beyond the tolerance; a workload on one side only, too."""
    wrong = [f"{name} is not recorded" for name in counted if name not in recorded]
    for name, before in recorded.items():
        now = counted.get(name)
        if now is None:
            wrong.append(f"{name} is recorded, but was not counted")
        elif now > before * (1 + tolerance):
            wrong.append(f"{name}: {now:,} instructions per token, {now / before - 1:.1%} above the record")
    return wrong


def compiler_of(build: Path) -> str:
    """The first line of what the build's compiler says of itself."""
    cache = (build / "CMakeCache.txt").read_text(encoding="utf-8")
    found = re.search(r"^CMAKE_CXX_COMPILER:\w+=(.+)$", cache, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{build} names no compiler; `make instructions` builds what is counted")
    said = subprocess.run([found[1], "--version"], check=True, capture_output=True, text=True)
    return said.stdout.splitlines()[0]


def _per_token(program: Path, workload: str, model: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out"]
        command += [f"--toggle-collect={function}" for function in _COUNTED]
        done = subprocess.run(
            [*command, str(program), workload, model],
            capture_output=True,
            text=True,
            env={**os.environ, "PENNYWEIGHT_ISA": "avx2"},
        )
    collected = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or collected is None or int(collected[1]) == 0:
        raise RuntimeError(f"{' '.join(command)} {program} {workload} {model} failed:\n{done.stderr[-2000:]}")
    target, tokens = done.stdout.split()
    if target != "avx2":
        raise RuntimeError(f"{program} ran on {target} instead of avx2")
    return round(int(collected[1]) / int(tokens))


def _obstacle(build: Path, *, record: bool) -> str | None:
    """Why nothing can be compared here."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"they are recorded for AVX2, this is {platform.machine()}"
    if shutil.which("valgrind") is None:
        return "valgrind is not installed (Debian: valgrind)"
    if record:
        return None
    recorded, compiler = json.loads(RECORDED.read_text(encoding="utf-8"))["compiler"], compiler_of(build)
    return None if recorded == compiler else f"recorded with {recorded}, this is {compiler}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.instructions")
    parser.add_argument("--build", type=Path, default=Path("build/release"), help="a CMake build with tests")
    parser.add_argument("--record", action="store_true", help="take today's counts as the record")
    arguments = parser.parse_args()
    obstacle = _obstacle(arguments.build, record=arguments.record)
    if obstacle is not None:
        print(f"SKIPPED: instruction counts, {obstacle}")
        return
    counted = count(arguments.build)
    if arguments.record:
        report = {
            "compiler": compiler_of(arguments.build),
            "target": "avx2",
            "instructions_per_token": counted,
        }
        RECORDED.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["instructions_per_token"]
    for name, now in counted.items():
        before = recorded.get(name, now)
        print(f"{name:16} {now:>12,} instructions per token ({now / before - 1:+.2%})")
    wrong = judge(recorded, counted, tolerance=TOLERANCE)
    if wrong:
        sys.exit(
            "\n".join([*wrong, "mend it, or record it with its reason: make instructions COUNT=--record"])
        )


if __name__ == "__main__":
    main()
