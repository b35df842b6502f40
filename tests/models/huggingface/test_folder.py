"""Folders run as the GGUF file of the same weights does, to the bit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.load import load
from pennyweight.models.local import installed_models, model_name, remove, resolve
from pennyweight.models.outline import outline
from tests.models.gguf_writer import write_gguf
from tests.models.huggingface.tiny_folder import (
    folder_tensors,
    stable_tensors,
    write_folder,
    write_weights,
)
from tests.models.tiny import TinyShape, gemma_shape, llama_shape, tiny_metadata, write_tiny
from tests.native.native_decoders import Driver

if TYPE_CHECKING:
    from pathlib import Path

TOKENS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8] * 4
SHAPES = {"llama": llama_shape, "gemma3": gemma_shape}


def logits(path: Path) -> np.ndarray[Any, Any]:
    loaded = load(path)
    return Driver(loaded.model, vocab_size=loaded.spec.vocab_size).score(TOKENS)


def float_shape(architecture: str, kind: str, **changes: Any) -> TinyShape:
    return SHAPES[architecture](kind=kind, kinds={}, **changes)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("architecture", SHAPES)
def test_folder_and_gguf_agree_to_the_bit(tmp_path: Path, architecture: str, kind: str) -> None:
    shape = float_shape(architecture, kind, tied=False)
    gguf = write_gguf(tmp_path / "a.gguf", tiny_metadata(shape), stable_tensors(shape))
    np.testing.assert_array_equal(logits(resolve(write_folder(tmp_path / "a", shape))), logits(gguf))


def test_shards_are_one_model(tmp_path: Path) -> None:
    shape = float_shape("llama", "BF16")
    whole = write_folder(tmp_path / "whole", shape)
    parts = write_folder(tmp_path / "parts", shape, shards=3)
    assert resolve(str(parts)).name == "model.safetensors.index.json"
    np.testing.assert_array_equal(logits(resolve(parts)), logits(resolve(whole)))


def test_norms_may_be_stored_in_16_bits(tmp_path: Path) -> None:
    shape = float_shape("llama", "BF16")
    tensors = folder_tensors(shape)
    halves, wide = dict(tensors), dict(tensors)
    for name, (kind, size, data) in tensors.items():
        if kind == "F32":
            upper = np.frombuffer(data, np.uint16)[1::2]
            halves[name] = ("BF16", size, upper.tobytes())
            wide[name] = ("F32", size, (upper.astype(np.uint32) << 16).tobytes())
    found = []
    for name, stored in (("halves", halves), ("wide", wide)):
        folder = write_folder(tmp_path / name, shape)
        write_weights(folder, stored)
        found.append(logits(resolve(folder)))
    np.testing.assert_array_equal(*found)


def test_a_folder_says_what_it_is(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "My-Model", float_shape("llama", "F16"))
    loaded = load(resolve(folder))
    assert (loaded.name, loaded.spec.context_length) == ("My-Model", 512)
    assert loaded.content_hash == load(resolve(folder)).content_hash
    gguf = load(write_tiny(tmp_path / "a.gguf", float_shape("llama", "F16")))
    assert loaded.model.weight_bytes == gguf.model.weight_bytes
    assert outline(resolve(folder)).weight_bytes == outline(tmp_path / "a.gguf").weight_bytes
    assert outline(resolve(folder)).has_float_weights


def test_the_hash_follows_weights_settings_and_words(tmp_path: Path) -> None:
    shape = float_shape("llama", "F16", num_layers=1)
    hashes = [load(resolve(write_folder(tmp_path / "a", shape))).content_hash]
    hashes.append(
        load(resolve(write_folder(tmp_path / "b", float_shape("llama", "F16", seed=1)))).content_hash
    )
    hashes.append(load(resolve(write_folder(tmp_path / "c", shape, rope_theta=500.0))).content_hash)
    other = {"chat_template.jinja": "{{ messages }}"}
    hashes.append(load(resolve(write_folder(tmp_path / "d", shape, files=other))).content_hash)
    assert len(set(hashes)) == 4
    assert load(resolve(write_folder(tmp_path / "e", shape))).content_hash == hashes[0]


def test_hugging_faces_cache_is_named_after_the_repository(tmp_path: Path) -> None:
    folder = tmp_path / "models--org--Some-Model" / "snapshots" / "0123abcd"
    assert model_name(folder / "model.safetensors") == "Some-Model"


def test_installed_folders_are_listed_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    installed = tmp_path / "pennyweight" / "models"
    write_folder(installed / "one", float_shape("llama", "BF16"))
    write_folder(installed / "several", float_shape("llama", "F16"), shards=2)
    write_folder(installed / "strange", float_shape("llama", "F16"), architectures=["MambaForCausalLM"])
    one, several, strange = installed_models()
    assert (one.name, one.types, one.architecture, one.context_length) == ("one", ("BF16",), "llama", 512)
    assert (several.name, several.types, several.problem) == ("several", ("F16",), None)
    assert several.num_bytes == sum(file.stat().st_size for file in (installed / "several").iterdir())
    assert "MambaForCausalLM" in (strange.problem or "")
    assert resolve("several") == installed / "several" / "model.safetensors.index.json"
    remove("several")
    assert not (installed / "several").exists()


def test_descriptors_are_closed(tmp_path: Path) -> None:
    path = resolve(write_folder(tmp_path / "a", float_shape("llama", "F16"), shards=3))
    load(path)
    before = len(os.listdir("/proc/self/fd"))
    load(path)
    assert len(os.listdir("/proc/self/fd")) == before
