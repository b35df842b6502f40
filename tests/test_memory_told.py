"""What a model needs is told before it is loaded, and in numbers when it does not fit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from pennyweight import Engine
from pennyweight.core import PAGE_TOKENS
from pennyweight.errors import ConfigError, ContextLengthError
from pennyweight.memory_need import memory_need
from pennyweight.models.outline import outline

if TYPE_CHECKING:
    from pathlib import Path


def test_the_need_comes_before_the_loading(tiny_llama_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    with Engine.open(
        tiny_llama_path, threads=1, parallel=1, progress=lambda *event: told.append(event)
    ) as engine:
        assert engine.context == 512
    assert [stage for stage, _, _ in told].index("memory") < [stage for stage, _, _ in told].index("load")
    [(needed, available)] = [(done, total) for stage, done, total in told if stage == "memory"]
    own = memory_need(outline(tiny_llama_path), resident_bytes=0, threads=1).total_bytes
    assert needed == own < available, "not what the process held before"


def test_a_model_that_does_not_fit_is_refused_with_its_parts(tiny_llama_path: Path) -> None:
    told: list[str] = []
    with pytest.raises(ConfigError) as failure:
        Engine.open(tiny_llama_path, memory="20MiB", progress=lambda stage, *_: told.append(stage))
    amounts = [int(text.replace(",", "")) for text in re.findall(r"([\d,]+) MiB", failure.value.message)]
    limit, needed, *parts = amounts
    assert limit == 20
    assert len(parts) == 4
    assert abs(needed - sum(parts)) <= len(parts), "the parts are the sum, each rounded"
    assert "load" not in told


def test_a_prompt_that_cannot_fit_is_refused_with_both_lengths(tiny_llama_path: Path) -> None:
    with Engine.open(tiny_llama_path, threads=1, parallel=1, context=2 * PAGE_TOKENS) as engine:
        with pytest.raises(ContextLengthError) as failure:
            engine.generate("a b c d e f g h " * 40)
        numbers = [int(text) for text in re.findall(r"\d+", failure.value.message)]
        assert 2 * PAGE_TOKENS in numbers
        assert "the model was made for 512: shorten the prompt or raise --context" in failure.value.message
        assert max(numbers) > 2 * PAGE_TOKENS
