"""`Engine` with adapters: a name each, added and removed while others answer, within their memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.answers.tuned import GivenAdapters
from pennyweight.api import Engine
from pennyweight.errors import ConfigError, ModelFileError, ModelNotFoundError, ModelUnavailableError
from pennyweight.memory import ADAPTER_SHARE, parse_memory
from pennyweight.system_memory import resident_memory
from tests.models.adapter.tiny_adapter import write_adapter
from tests.models.tiny import llama_shape, write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUESTION = "Tell me of the sea."
SHAPE = llama_shape(context_length=4096)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    return {name: write_adapter(folder / name, SHAPE, seed=seed) for seed, name in enumerate(("a", "b"))}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("model") / "tiny.gguf", context_length=4096)


@pytest.fixture
def engine(path: Path, folders: dict[str, Path]) -> Iterator[Engine]:
    with Engine.open(path, parallel=2, threads=1, adapters=folders) as engine:
        yield engine


def said(engine: Engine, model: str | None = None) -> str:
    return engine.chat(QUESTION, model=model, temperature=0, max_tokens=16).text


def test_each_name_answers_in_its_own_way(engine: Engine) -> None:
    assert engine.adapter_names == ["a", "b"]
    assert len({said(engine), said(engine, "a"), said(engine, "b")}) == 3
    assert said(engine, engine.name) == said(engine)
    assert "".join(engine.stream(QUESTION, model="a", temperature=0, max_tokens=16)) == said(engine, "a")
    generated = [
        engine.generate(QUESTION, model=model, temperature=0, max_tokens=16).text for model in (None, "b")
    ]
    assert generated[0] != generated[1]
    with pytest.raises(ModelNotFoundError, match="no model 'c' here; there are tiny, a, b"):
        said(engine, "c")


def test_one_that_is_removed_ends_what_it_began(engine: Engine, folders: dict[str, Path]) -> None:
    alone = "".join(engine.stream(QUESTION, model="a", temperature=0, max_tokens=400, ignore_eos=True))
    stream = engine.stream(QUESTION, model="a", temperature=0, max_tokens=400, ignore_eos=True)
    begun = next(stream)
    engine.remove_adapter("a")
    with pytest.raises(ModelNotFoundError):
        said(engine, "a")
    assert begun + "".join(stream) == alone
    assert engine.stats().adapters == 1
    engine.add_adapter("a", folders["b"])  # the name again, for something else
    assert said(engine, "a") == said(engine, "b")


def test_one_put_out_is_loaded_again(path: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    with Engine.open(path, parallel=2, threads=1, adapters=folders) as engine:
        first = said(engine, "a")
        for name in ("a", "b"):
            engine.adapters.drop(engine._tuned(name).adapter)
        assert engine.stats().adapters == 0
        assert said(engine, "a") == first
        assert (engine.stats().adapters, engine.stats().adapter_loads) == (1, 3)
        assert engine.stats().adapter_bytes > 0
        write_adapter(tmp_path / "changing", SHAPE, seed=3)
        engine.add_adapter("changing", tmp_path / "changing")
        engine.adapters.drop(engine._tuned("changing").adapter)
        write_adapter(tmp_path / "changing", SHAPE, seed=4)
        with pytest.raises(ModelUnavailableError, match="has changed on the disk"):
            said(engine, "changing")


def test_what_is_wrong_is_told_at_once(path: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    other = write_adapter(tmp_path / "other", llama_shape(d_ff=128))
    with pytest.raises(ModelUnavailableError, match="it was trained for another model"):
        Engine.open(path, threads=1, adapters={"other": other})
    dora = write_adapter(tmp_path / "dora", SHAPE, use_dora=True)
    with pytest.raises(ModelFileError, match=r"the adapter dora: .*DoRA"):
        Engine.open(path, threads=1, adapters={"x": dora})
    with pytest.raises(ModelFileError, match="is no adapter"):
        Engine.open(path, threads=1, adapters={"x": tmp_path / "nowhere"})
    with pytest.raises(ConfigError, match="'tiny' is a model already"):
        Engine.open(path, threads=1, adapters={"tiny": folders["a"]})


def test_a_ceiling_counts_them(path: Path, folders: dict[str, Path]) -> None:
    ceiling = f"{(resident_memory() >> 20) + 700}MiB"  # this process may have run thousands of tests before
    with Engine.open(path, threads=1, memory=ceiling) as engine:
        room = engine.adapters.max_bytes
        assert 0 < room <= parse_memory(ceiling) * ADAPTER_SHARE
        tuned = GivenAdapters().add("a", folders["a"], base=engine.name)
        engine.adapters.load(tuned.adapter, tuned.files)
        assert 0 < engine.stats().adapter_bytes < room
