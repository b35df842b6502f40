"""Loading with the real extension: every type and shape packs, what is wrong is refused before that."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.reference_decoder import read_decoder
from pennyweight.errors import ModelFileError
from pennyweight.models.catalog import CATALOG, DEFAULT_MODEL
from pennyweight.models.gguf import GGUFFile
from pennyweight.models.load import load
from pennyweight.native.reference import ReferenceDecoder
from tests.models.gguf_writer import RawTensor, Typed, write_gguf, write_split_gguf
from tests.models.tiny import (
    WEIGHT_TYPES,
    TinyShape,
    gemma_shape,
    k_shape,
    llama_shape,
    tiny_metadata,
    tiny_tensors,
    write_tiny,
    write_tiny_llama,
)
from tests.native.native_decoders import Driver

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", WEIGHT_TYPES)
@pytest.mark.parametrize("shape", [llama_shape(), gemma_shape()], ids=lambda shape: shape.architecture)
def test_every_type_of_both_architectures_packs(tmp_path: Path, shape: TinyShape, kind: str) -> None:
    wanted = k_shape(shape, kind)
    loaded = load(write_tiny(tmp_path / "tiny.gguf", wanted))
    assert loaded.spec.architecture == wanted.architecture
    assert loaded.spec.num_layers == wanted.num_layers
    assert loaded.model.weight_bytes > 0
    assert loaded.metadata["tokenizer.chat_template"]


@pytest.mark.parametrize("make", [llama_shape, gemma_shape], ids=["llama", "gemma3"])
@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_shapes_that_fit_no_panel_compute_what_the_file_says(tmp_path: Path, make: Any, kind: str) -> None:
    shape = make(kind=kind, kinds={}, d_model=52, d_ff=101, num_heads=3, num_kv_heads=1, head_dim=22)
    path = write_tiny(tmp_path / "odd.gguf", shape)
    loaded = load(path)
    tokens = [3, 1, 4, 1, 5, 9, 2, 6] * 9
    expected = ReferenceDecoder(*read_decoder(path)).logits(tokens)
    driver = Driver(loaded.model, vocab_size=loaded.spec.vocab_size)
    np.testing.assert_array_equal(driver.score(tokens), expected)


def test_a_loaded_model_says_what_it_is(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "mine.gguf", tied=False)
    loaded = load(str(path))
    assert (loaded.path, loaded.name) == (path, "mine")
    named = load(write_tiny_llama(tmp_path / CATALOG[DEFAULT_MODEL].file_name))
    assert named.name == DEFAULT_MODEL


def test_a_model_goes_without_its_lists_once_the_tokenizer_is_made(tmp_path: Path) -> None:
    loaded = load(write_tiny_llama(tmp_path / "tiny.gguf"))
    lean = loaded.without_lists()
    gone = loaded.metadata.keys() - lean.metadata.keys()
    assert {"tokenizer.ggml.tokens", "tokenizer.ggml.merges"} <= gone
    assert lean.metadata["tokenizer.chat_template"] == loaded.metadata["tokenizer.chat_template"]
    assert lean.model is loaded.model


def test_progress_counts_every_tensor_byte(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "tiny.gguf")
    calls: list[tuple[int, int]] = []
    load(path, progress=lambda done, total: calls.append((done, total)))
    with GGUFFile.open(path) as file:
        total = sum(tensor.nbytes or 0 for tensor in file.tensors.values())
        assert len(calls) == sum(len(tensor.shape) > 1 for tensor in file.tensors.values())
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_the_hash_follows_the_content_and_not_the_name(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "a.gguf")
    original = load(path).content_hash
    assert load(path.rename(tmp_path / "b.gguf")).content_hash == original
    assert load(write_tiny_llama(tmp_path / "seed.gguf", seed=1)).content_hash != original
    renamed = tiny_metadata(llama_shape()) | {"general.name": "another"}
    other = write_gguf(tmp_path / "renamed.gguf", renamed, tiny_tensors(llama_shape()))
    assert load(other).content_hash != original


def test_a_split_model_loads(tmp_path: Path) -> None:
    shape = llama_shape()
    first = write_split_gguf(tmp_path, "big", tiny_metadata(shape), tiny_tensors(shape), count=3)
    loaded = load(first)
    assert loaded.name == "big"
    assert loaded.model.weight_bytes == load(write_tiny(tmp_path / "one.gguf", shape)).model.weight_bytes


@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_weights_of_any_bits_pack(tmp_path: Path, kind: str) -> None:
    """Infinite scales, NaN and unused codes are for the arithmetic to bear; packing must not stumble."""
    shape = k_shape(llama_shape(num_layers=1), kind)
    noise = random.Random(kind)
    tensors = {
        name: replace(tensor, data=noise.randbytes(len(tensor.data)))
        for name, tensor in tiny_tensors(shape).items()
    }
    loaded = load(write_gguf(tmp_path / "noise.gguf", tiny_metadata(shape), tensors))
    assert loaded.model.weight_bytes > 0


def test_refusals_name_the_file(tmp_path: Path) -> None:
    shape = llama_shape()
    metadata, tensors = tiny_metadata(shape), tiny_tensors(shape)
    path = tmp_path / "odd.gguf"
    write_gguf(path, metadata | {"llama.attention.clamp_kqv": 8.0}, tensors)
    with pytest.raises(ModelFileError, match=r"odd\.gguf: llama\.attention\.clamp_kqv is set"):
        load(path)
    wide = k_shape(shape, "Q4_K")
    rows = tiny_tensors(wide)["blk.0.attn_v.weight"].shape
    odd = RawTensor("Q8_K", rows, bytes(rows[0] * rows[1] // 256 * 292))
    write_gguf(path, tiny_metadata(wide), tiny_tensors(wide) | {"blk.0.attn_v.weight": odd})
    with pytest.raises(ModelFileError, match=r"'blk\.0\.attn_v\.weight' has the type Q8_K"):
        load(path)
    write_gguf(path, {"general.architecture": "mamba", "mamba.block_count": Typed("u64", 1)}, {})
    with pytest.raises(ModelFileError, match=r"odd\.gguf: the architecture 'mamba' is not supported"):
        load(path)


def test_descriptors_are_closed_whatever_happens(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "tiny.gguf")
    load(path)
    before = len(os.listdir("/proc/self/fd"))
    load(path)

    def fail(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(path, progress=fail)
    assert len(os.listdir("/proc/self/fd")) == before
