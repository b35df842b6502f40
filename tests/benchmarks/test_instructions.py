"""Instruction counts are judged against their record; the record covers what is counted."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.instructions import MODELS, RECORDED, WORKLOADS, compiler_of, judge
from tests.house.sources import ROOT

if TYPE_CHECKING:
    from pathlib import Path


def test_more_instructions_than_the_tolerance_are_named() -> None:
    recorded = {"a": 1000, "b": 1000, "c": 1000}
    assert judge(recorded, {"a": 1010, "b": 900, "c": 1000}, tolerance=0.01) == []
    [wrong] = judge(recorded, {"a": 1011, "b": 1000, "c": 1000}, tolerance=0.01)
    assert wrong == "a: 1,011 instructions per token, 1.1% above the record"


def test_workloads_must_be_the_recorded_ones() -> None:
    assert judge({"a": 1}, {"b": 1}, tolerance=0.5) == [
        "b is not recorded",
        "a is recorded, but was not counted",
    ]


def test_the_record_has_every_workload_and_its_compiler() -> None:
    record = json.loads(RECORDED.read_text(encoding="utf-8"))
    assert set(record["instructions_per_token"]) == {f"{m} {w}" for m in MODELS for w in WORKLOADS}
    assert record["compiler"]
    source = (ROOT / "native" / "tests" / "one_step.cc").read_text(encoding="utf-8")
    assert all(f'"{name}"' in source for name in (*MODELS, *WORKLOADS))


def test_another_compiler_is_a_visible_skip(tmp_path: Path) -> None:
    compiler = tmp_path / "other-compiler"
    compiler.write_text("#!/bin/sh\necho other compiler 1.0\n", encoding="utf-8")
    compiler.chmod(0o755)
    (tmp_path / "CMakeCache.txt").write_text(f"CMAKE_CXX_COMPILER:FILEPATH={compiler}\n", encoding="utf-8")
    assert compiler_of(tmp_path) == "other compiler 1.0"
    program = (sys.executable, "-m", "benchmarks.instructions", "--build", str(tmp_path))
    done = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("SKIPPED: instruction counts, ")
