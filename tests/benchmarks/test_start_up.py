"""The start-up benchmark measures real processes; without llama.cpp it measures ours alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.start_up import measure

if TYPE_CHECKING:
    from pathlib import Path


def test_ours_alone(tiny_llama_path: Path) -> None:
    figures = measure(tiny_llama_path, build=None, rounds=1, threads=1)
    assert set(figures) == {"unit", "rounds", "pennyweight"}
    assert figures["pennyweight"]["low"] > 0


def test_a_program_that_answers_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="missing"):
        measure(tmp_path / "missing.gguf", build=None, rounds=1, threads=1)
