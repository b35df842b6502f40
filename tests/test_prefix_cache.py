"""Prefixes on disk with the native engine: the answer after a restart is that of a cold engine to the bit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight import Engine
from pennyweight.errors import ConfigError
from pennyweight.prefix_cache import DEFAULT_SIZE, prefix_cache
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "".join(f"{number} bottles, " for number in range(60))[:690]  # a token a byte


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("model") / "tiny.gguf", context_length=1024)


def answer(path: Path, folder: Path | None, prompt: str = PROMPT) -> tuple[str, int]:
    with Engine.open(path, parallel=2, threads=1, prefix_cache_dir=folder) as engine:
        told = engine.generate(prompt, temperature=1.0, seed=7, max_tokens=40, ignore_eos=True)
        return told.text, told.usage.cached_tokens


def test_an_answer_after_a_restart_is_the_cold_one(tmp_path: Path, model: Path) -> None:
    cold = answer(model, None)
    assert answer(model, tmp_path) == cold
    text, cached = answer(model, tmp_path)
    assert text == cold[0]
    assert cached == len(PROMPT) - 1
    other = PROMPT[:680] + " and then none"
    text, cached = answer(model, tmp_path, other)
    assert text == answer(model, None, other)[0]
    assert cached == 680


def test_another_model_has_pages_of_its_own(tmp_path: Path, model: Path) -> None:
    other = write_tiny_llama(tmp_path / "other.gguf", context_length=1024, seed=9)
    folder = tmp_path / "cache"
    answer(model, folder)
    text, cached = answer(other, folder)
    assert cached == 0
    assert text == answer(other, None)[0]
    assert len(list(folder.iterdir())) == 2
    assert answer(model, folder)[1] == len(PROMPT) - 1


def test_the_setting_is_a_folder_and_a_size(tmp_path: Path) -> None:
    assert prefix_cache(None, None) is None
    made = prefix_cache(tmp_path, None)
    assert made is not None
    assert (made.root, made.limit_bytes) == (tmp_path, DEFAULT_SIZE)
    made = prefix_cache("~/prefixes", "1.5GiB")
    assert made is not None
    assert made.root.is_absolute()
    assert made.limit_bytes == 3 * 2**29
    with pytest.raises(ConfigError, match="prefix_cache_size is 'much'; write an amount"):
        prefix_cache(tmp_path, "much")
    with pytest.raises(ConfigError, match="prefix_cache_dir names no folder"):
        prefix_cache(None, "1GiB")


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path, model: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="--prefix-cache-dir"):
        answer(model, tmp_path / "file")
