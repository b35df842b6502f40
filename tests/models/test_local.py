"""Names, paths and the cache folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pennyweight.errors import ModelNotFoundError
from pennyweight.models.cache import models_folder
from pennyweight.models.catalog import CATALOG, DEFAULT_MODEL
from pennyweight.models.gguf import shard_paths
from pennyweight.models.local import installed_models, model_name, remove, resolve
from tests.models.gguf_writer import write_split_gguf
from tests.models.tiny import llama_shape, tiny_metadata, tiny_tensors, write_tiny_gemma, write_tiny_llama


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    models_folder().mkdir(parents=True)
    return models_folder()


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "pennyweight" / "models"
    for ignored in ("", "relative/path"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert models_folder() == Path.home() / ".cache" / "pennyweight" / "models"


def test_nothing_is_installed_at_first(folder: Path) -> None:
    assert installed_models() == []
    shutil.rmtree(folder)
    assert installed_models() == []


def test_installed_models_are_listed_with_what_they_are(folder: Path) -> None:
    write_tiny_llama(folder / CATALOG[DEFAULT_MODEL].file_name)
    write_tiny_gemma(folder / "my-gemma.gguf")
    write_split_gguf(folder, "big", tiny_metadata(llama_shape()), tiny_tensors(llama_shape()), count=2)
    (folder / "broken.gguf").write_bytes(b"GGUF and then nothing")
    big, broken, gemma, smollm = installed_models()
    assert (smollm.name, smollm.types, smollm.architecture) == (DEFAULT_MODEL, ("Q4_0",), "llama")
    assert (gemma.name, gemma.types, gemma.context_length) == ("my-gemma", ("Q5_0", "Q5_1", "Q8_0"), 512)
    assert (big.name, big.path.name) == ("big", "big-00001-of-00002.gguf")
    assert big.num_bytes == sum(path.stat().st_size for path in shard_paths(big.path))
    assert (broken.name, broken.num_bytes, broken.types) == ("broken", 21, ())
    assert "broken.gguf" in (broken.problem or "")
    assert smollm.problem is None


def test_a_name_is_the_installed_file(folder: Path) -> None:
    named = write_tiny_llama(folder / CATALOG[DEFAULT_MODEL].file_name)
    own = write_tiny_llama(folder / "own.gguf")
    assert resolve(DEFAULT_MODEL) == named
    assert resolve("own") == own


def test_a_path_is_itself(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tiny_llama(tmp_path / "here.gguf")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for given in (path, str(path), "here.gguf", "./here.gguf"):
        assert resolve(given).samefile(path)
    assert resolve("~/here.gguf") == path
    assert folder.exists()


@pytest.mark.parametrize(
    ("name", "saying"),
    [
        (DEFAULT_MODEL, f"not installed; get it with `penny pull {DEFAULT_MODEL}`"),
        ("qwen3-4b", "not installed; get it with `penny pull qwen3-4b`"),
        ("hf:a/b", "get it with `penny pull hf:a/b`"),
        ("smollm2-135m", f"did you mean {DEFAULT_MODEL}"),
        ("gemma-3", "did you mean gemma-3-270m"),
        ("zzzz", f"`penny pull` knows {DEFAULT_MODEL}, gemma-3-270m"),
        ("absent.gguf", "there is no model file absent.gguf"),
        ("/no/such/file", "there is no model file /no/such/file"),
        ("", "there is no model ''"),
    ],
)
def test_an_unknown_model_names_the_remedy(folder: Path, name: str, saying: str) -> None:
    with pytest.raises(ModelNotFoundError) as failure:
        resolve(name)
    assert saying in failure.value.message
    assert failure.value.param == "model"
    assert folder.exists()


def test_removing_takes_all_files_and_only_those(folder: Path) -> None:
    first = write_split_gguf(
        folder, "big", tiny_metadata(llama_shape()), tiny_tensors(llama_shape()), count=2
    )
    kept = write_tiny_llama(folder / "kept.gguf")
    assert remove("big") == first
    assert list(folder.glob("*.gguf")) == [kept]
    with pytest.raises(ModelNotFoundError, match="there is no model 'big'"):
        remove("big")
    with pytest.raises(ModelNotFoundError, match=f"{DEFAULT_MODEL} is not installed"):
        remove(DEFAULT_MODEL)
    with pytest.raises(ModelNotFoundError):
        remove("../kept")
    assert kept.exists()


def test_names_of_files() -> None:
    assert model_name(Path("/a/SmolLM2-135M-Instruct.Q4_1.gguf")) == DEFAULT_MODEL
    assert model_name(Path("/a/some.Q4_0.gguf")) == "some.Q4_0"
    assert model_name(Path("/a/some-00001-of-00009.gguf")) == "some"
