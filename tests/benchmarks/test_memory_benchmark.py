"""The memory benchmark measures a real server, full of a few short streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.memory import ANSWER_TOKENS, commands, measure
from benchmarks.texts import Passages
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from pathlib import Path


def test_ours(tmp_path: Path) -> None:
    model = write_tiny_llama(tmp_path / "tiny.gguf", context_length=1024)
    command = commands(model, build=None, threads=1, streams=2)["pennyweight"]
    figures = measure(command, Passages("plain words " * 400), streams=2, prompt_tokens=40)
    assert 0 < figures["idle"] <= figures["full"]
    assert figures["tokens"] > 2 * ANSWER_TOKENS
