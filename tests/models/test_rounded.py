"""Floats rounded as they are read: the blocks that the quantiser writes, in a folder's or a file's place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pennyweight.api import Engine
from pennyweight.errors import ConfigError, ModelFileError
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.models.outline import outline
from pennyweight.models.rounded import RoundedSource, WeightType
from pennyweight.models.source import open_source
from pennyweight.native import _native
from tests.models.gguf_writer import RawTensor, write_gguf
from tests.models.huggingface.tiny_folder import folder_tensors, stable_tensors, write_folder, write_weights
from tests.models.tiny import llama_shape, tiny_metadata, write_tiny
from tests.native.native_decoders import Driver

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = llama_shape(kind="BF16", kinds={})
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6] * 5


def logits(path: Path, *, weights: WeightType | None = None) -> np.ndarray:
    loaded = load(path, weights=weights)
    return Driver(loaded.model, vocab_size=loaded.spec.vocab_size).score(TOKENS)


@pytest.mark.parametrize("to", ["q8_0", "q4_0", "q4_1"])
def test_a_rounded_folder_is_the_file_quantised_before(tmp_path: Path, to: WeightType) -> None:
    tensors = {}
    for name, tensor in stable_tensors(SHAPE).items():
        kind = "Q8_0" if name == "token_embd.weight" else to.upper()
        if len(tensor.shape) == 2:
            blocks = _native.requantize(tensor.data, type="BF16", to=kind, columns=tensor.shape[1])
            tensor = RawTensor(kind, tensor.shape, blocks)
        tensors[name] = tensor
    quantised = write_gguf(tmp_path / "a.gguf", tiny_metadata(SHAPE), tensors)
    folder = resolve(write_folder(tmp_path / "a", SHAPE, shards=2))
    np.testing.assert_array_equal(logits(folder, weights=to), logits(quantised))
    sizes = [(o.weight_bytes, o.has_float_weights) for o in (outline(folder, weights=to), outline(quantised))]
    assert sizes[0] == sizes[1]


def test_what_fits_no_block_stays_as_it_is(tmp_path: Path) -> None:
    odd = llama_shape(kind="F16", kinds={}, d_model=48, d_ff=52, num_heads=3, num_kv_heads=1, head_dim=22)
    path = write_tiny(tmp_path / "a.gguf", odd)
    np.testing.assert_array_equal(logits(path, weights="q8_0"), logits(path))
    blocks = write_tiny(tmp_path / "b.gguf", llama_shape())
    np.testing.assert_array_equal(logits(blocks, weights="q4_1"), logits(blocks))


def test_other_weights_are_another_model(tmp_path: Path) -> None:
    folder = resolve(write_folder(tmp_path / "a", SHAPE))
    assert load(folder).content_hash != load(folder, weights="q8_0").content_hash
    with open_source(folder, weights="q4_0") as source:
        assert isinstance(source, RoundedSource)
        assert source.tensors["blk.0.ffn_up.weight"].type == "Q4_0"
        assert source.tensors["blk.0.attn_norm.weight"].type == "F32"
        assert len(source.read("blk.0.ffn_up.weight")) == source.nbytes("blk.0.ffn_up.weight") == 96 * 2 * 18


def test_an_engine_says_what_it_cannot_round_to(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", SHAPE)
    with Engine.open(folder, weights="q8_0", threads=1, parallel=1) as engine:
        assert engine.chat("hell", max_tokens=4).usage.completion_tokens <= 4
    with pytest.raises(ConfigError, match="'q3_k'; possible are q8_0, q4_0, q4_1"):
        Engine.open(folder, weights="q3_k")


def test_weights_that_are_no_numbers(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", SHAPE)
    tensors = folder_tensors(SHAPE)
    name = "model.layers.1.mlp.down_proj.weight"
    kind, shape, data = tensors[name]
    write_weights(folder, {**tensors, name: (kind, shape, data[:-2] + b"\xc0\x7f")})
    with pytest.raises(ModelFileError, match=r"'blk\.1\.ffn_down\.weight' cannot be rounded"):
        load(resolve(folder), weights="q8_0")
