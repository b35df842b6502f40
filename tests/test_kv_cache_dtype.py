"""Keys and values in four bits, as a program and as settings ask for them: the promises of int8, in half."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest

from pennyweight import Engine
from pennyweight.config import Settings
from pennyweight.core import CacheNamespace
from pennyweight.errors import ConfigError
from pennyweight.kv_format import KvFormat, check_kv_format, kv_head_bytes, kv_problem
from pennyweight.local_models import read_local_models
from pennyweight.memory import PageBudget, pool_size
from pennyweight.models.outline import outline
from tests.models.tiny import llama_shape, write_tiny

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PROMPTS = [f"{'abc ' * 70}{number}" for number in range(4)]


def opened(path: Path) -> Engine:
    return Engine.open(path, parallel=4, threads=2, kv_cache_dtype="int4")


@pytest.fixture(scope="module")
def engine(tiny_gemma_path: Path) -> Iterator[Engine]:
    with opened(tiny_gemma_path) as engine:
        yield engine


def said(engine: Engine, prompt: str) -> str:
    return engine.generate(prompt, seed=7, max_tokens=30).text


def test_company_and_cache_change_no_answer(engine: Engine, tiny_gemma_path: Path) -> None:
    alone = [said(engine, prompt) for prompt in PROMPTS]
    together: dict[int, str] = {}
    threads = [
        threading.Thread(target=lambda i=i, prompt=prompt: together.update({i: said(engine, prompt)}))
        for i, prompt in enumerate(PROMPTS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[i] for i in range(len(PROMPTS))] == alone
    assert engine.generate(PROMPTS[0], seed=7, max_tokens=1).usage.cached_tokens > 0
    with opened(tiny_gemma_path) as cold:
        assert [said(cold, prompt) for prompt in reversed(PROMPTS)] == alone[::-1]


def test_formats_are_told_apart(engine: Engine, tiny_gemma_path: Path) -> None:
    with Engine.open(tiny_gemma_path, threads=1) as plain, opened(tiny_gemma_path) as same:
        assert engine.fingerprint == same.fingerprint != plain.fingerprint
        assert (engine.model.spec.kv_format, plain.model.spec.kv_format) == ("int4", "int8")
    ours = CacheNamespace(model="m", kv_format="int4")
    assert ours != replace(ours, kv_format="int8")


def test_the_same_memory_holds_twice_the_context(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "tiny.gguf", llama_shape(context_length=2**20, head_dim=64))
    budget = PageBudget(num_bytes=100 * 2**20, source="what there is")
    int8, int4 = (
        pool_size(outline(path, kv_format=kv_format).spec, context=None, parallel=1, budget=budget).context
        for kv_format in get_args(KvFormat)
    )
    assert 1.99 < int4 / int8 < 2.01


@pytest.mark.parametrize(
    ("head_dim", "int8", "int4"),
    [(64, 140, 70), (128, 276, 138), (256, 548, 274), (80, 176, 96), (16, 40, 28)],
)
def test_bytes_of_a_token(head_dim: int, int8: int, int4: int) -> None:
    assert (kv_head_bytes("int8", head_dim), kv_head_bytes("int4", head_dim)) == (int8, int4)
    assert kv_problem("int4", head_dim=head_dim) is None


def test_heads_that_cannot_be_rotated_are_refused_before_weights_are_read(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "odd.gguf", llama_shape(head_dim=22, kind="F16", kinds={}))
    message = "odd.gguf: int4 keys and values need heads of a multiple of 16 elements, not of 22"
    with pytest.raises(ConfigError, match=message):
        opened(path)
    with pytest.raises(ConfigError, match=message):
        outline(path, kv_format="int4")
    outline(path)


def test_what_is_no_format() -> None:
    assert (check_kv_format(None), check_kv_format("int4")) == ("int8", "int4")
    with pytest.raises(ConfigError, match="kv_cache_dtype is 'fp8'; possible are int8, int4"):
        Engine.open("anything", kv_cache_dtype="fp8")


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('kv_cache_dtype = "int4"\n[models.near]\npath = "/m.gguf"\nkv_cache_dtype = "int8"\n')
    settings = Settings.load({}, environ={"PENNYWEIGHT_CONFIG": str(path)})
    assert (settings.kv_cache_dtype, settings.models["near"].kv_cache_dtype) == ("int4", "int8")
    environ = {"PENNYWEIGHT_CONFIG": str(path), "PENNYWEIGHT_KV_CACHE_DTYPE": "int8"}
    assert Settings.load({}, environ=environ).kv_cache_dtype == "int8"
    for wrong in ("fp8", 4, None):
        with pytest.raises(
            ConfigError, match=r"\[models.near\]: kv_cache_dtype is .*; possible are int8, int4"
        ):
            read_local_models({"near": {"path": "/m.gguf", "kv_cache_dtype": wrong}}, "config.toml")
