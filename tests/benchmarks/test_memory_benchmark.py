"""The memory benchmark measures a real server, idle and full of a few short streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.memory import ANSWER_TOKENS, Resident
from benchmarks.servers import penny_serve
from benchmarks.texts import find_text
from tests.house.sources import ROOT
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.servers import ServerCommand


@pytest.fixture
def command(tmp_path: Path) -> ServerCommand:
    model = write_tiny_llama(tmp_path / "tiny.gguf", context_length=1024)
    return penny_serve(model, folder=ROOT, threads=1, isa=None)


def test_idle(command: ServerCommand) -> None:
    assert Resident(family="ours", label="ours", command=command).measure().value > 10


def test_full(command: ServerCommand) -> None:
    if find_text() is None:
        pytest.skip("the text of the prompts is not here")
    sample = Resident(family="ours", label="ours", command=command, streams=2, prompt_tokens=40).measure()
    assert 0 < sample.also["idle_mb"] <= sample.value
    assert sample.also["tokens"] > 2 * ANSWER_TOKENS
