"""Names for models that stay where they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pennyweight.errors import ConfigError, ModelFileError, ModelNotFoundError
from pennyweight.models.cache import models_folder
from pennyweight.models.local import installed_models, remove, resolve
from pennyweight.models.registry import register, unregister
from tests.models.tiny_encoder import write_encoder_folder


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def names() -> list[str]:
    return [model.name for model in installed_models()]


def test_a_file_gets_a_name_and_keeps_its_place(tiny_llama_path: Path) -> None:
    opened = register("mine", tiny_llama_path)
    assert opened.is_symlink()
    assert resolve("mine") == opened
    assert opened.resolve() == tiny_llama_path.resolve()
    [model] = installed_models()
    assert model.source == str(tiny_llama_path.resolve())
    assert (model.name, model.problem, model.num_bytes) == ("mine", None, tiny_llama_path.stat().st_size)
    remove("mine")
    assert names() == []
    assert tiny_llama_path.is_file()


def test_a_copy_needs_its_source_no_more(tiny_llama_path: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(tiny_llama_path, tmp_path / "source.gguf"))
    opened = register("mine", source, copies=True)
    source.unlink()
    assert not opened.is_symlink()
    assert opened.read_bytes() == tiny_llama_path.read_bytes()
    with pytest.raises(ModelNotFoundError, match="file of its own"):
        unregister("mine")
    assert names() == ["mine"]


def test_a_further_name_of_an_installed_model(tiny_llama_path: Path) -> None:
    register("mine", tiny_llama_path, copies=True)
    register("again", "mine")
    assert names() == ["again", "mine"]
    unregister("again")
    assert names() == ["mine"]


def test_a_name_of_a_name_outlives_it(tiny_llama_path: Path) -> None:
    register("mine", tiny_llama_path)
    register("again", "mine")
    unregister("mine")
    assert names() == ["again"]
    assert resolve("again").resolve() == tiny_llama_path.resolve()


def test_a_folder(tmp_path: Path) -> None:
    folder = write_encoder_folder(tmp_path / "encoder")
    register("vectors", folder)
    assert names() == ["vectors"]
    assert resolve("vectors").parent == models_folder() / "vectors"
    remove("vectors")
    assert names() == []
    assert (folder / "model.safetensors").is_file()


def test_a_model_that_was_moved_away(tiny_llama_path: Path, tmp_path: Path) -> None:
    source = Path(shutil.copy(tiny_llama_path, tmp_path / "source.gguf"))
    register("mine", source)
    source.unlink()
    [model] = installed_models()
    assert model.problem is not None
    with pytest.raises(ConfigError, match="penny rm mine"):
        register("mine", tiny_llama_path)
    unregister("mine")
    assert names() == []


@pytest.mark.parametrize("name", ["", "a b", "../x", "a/b", ".hidden", "-x", "x.gguf", "ä", "x" * 129])
def test_names_that_cannot_be(name: str, tiny_llama_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be a model's name"):
        register(name, tiny_llama_path)


def test_names_that_are_taken(tiny_llama_path: Path) -> None:
    register("mine", tiny_llama_path)
    with pytest.raises(ConfigError, match="another model"):
        register("mine", tiny_llama_path)
    with pytest.raises(ConfigError, match="penny pull"):
        register("smollm2-135m-instruct", tiny_llama_path)


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "text.gguf"
    path.write_text("no model")
    with pytest.raises(ModelFileError):
        register("mine", path)
    with pytest.raises(ModelNotFoundError):
        register("mine", "nothing-like-that")
    with pytest.raises(ModelNotFoundError, match="no model is registered"):
        unregister("mine")
    assert names() == []
