"""What a server's settings say of its models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.config import Settings
from pennyweight.errors import ConfigError
from pennyweight.local_models import LocalModel, read_local_models
from pennyweight.models.registry import register
from pennyweight.residents.server_models import local_models
from tests.models.tiny_encoder import write_encoder_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_the_first_is_first_and_names_are_those_of_the_files(tiny_llama_path: Path) -> None:
    tables = {"own": LocalModel(name="own", source="/x.gguf", context=64)}
    settings = Settings(
        model=str(tiny_llama_path), further_models=("gemma-3-270m", "/no/b.gguf"), models=tables
    )
    models = local_models(settings)
    assert [model.name for model in models] == ["tiny-llama", "gemma-3-270m", "b", "own"]
    assert models[0].source == str(tiny_llama_path)


def test_a_server_without_a_first_model_may_have_others() -> None:
    assert local_models(Settings(model="none")) == []
    assert [model.name for model in local_models(Settings(model="none", further_models=("/b.gguf",)))] == [
        "b"
    ]


def test_all_installed_are_those_that_answer(
    tmp_path: Path, tiny_llama_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    register("mine", tiny_llama_path)
    register("vectors", write_encoder_folder(tmp_path / "encoder"))
    (tmp_path / "pennyweight" / "models" / "broken.gguf").write_text("no model")
    settings = Settings(model=str(tiny_llama_path), all_installed=True)
    assert [model.name for model in local_models(settings)] == ["tiny-llama", "mine"]
    assert [model.name for model in local_models(Settings(model="mine", all_installed=True))] == ["mine"]


def test_a_name_twice() -> None:
    with pytest.raises(ConfigError, match="two models are served as 'b'"):
        local_models(Settings(model="/a/b.gguf", further_models=("/c/b.gguf",)))


def test_tables_of_both_kinds(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(
        '[models.far]\nupstream = "http://gpu:8000/v1"\n'
        '[models.near]\npath = "/m.gguf"\ncontext = 512\nparallel = 2\n'
    )
    settings = Settings.load({}, environ={"PENNYWEIGHT_CONFIG": str(path)})
    assert list(settings.upstream) == ["far"]
    assert settings.models == {"near": LocalModel(name="near", source="/m.gguf", context=512, parallel=2)}


def test_tables_in_the_environment() -> None:
    settings = Settings.load(
        {}, environ={"PENNYWEIGHT_MODELS": "a=/a.gguf, b=mine", "PENNYWEIGHT_CONFIG": "/no/config.toml"}
    )
    assert [model.source for model in settings.models.values()] == ["/a.gguf", "mine"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("x", "models are tables"),
        ({"a": 1}, "needs a 'path'"),
        ({"a": {}}, "needs a 'path'"),
        ({"a": {"path": 1}}, "'path' must be a text"),
        ({"a": {"path": "x", "size": 1}}, "unknown key 'size'"),
        ({"a": {"path": "x", "context": 0}}, "'context' must be a whole number"),
        ({"a": {"path": "x", "parallel": True}}, "'parallel' must be a whole number"),
        ({"": {"path": "x"}}, "a model's name"),
    ],
)
def test_tables_that_say_nothing(value: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_local_models(value, "here")
