"""Folders that `transformers` saved, of every family: its logits, and the bits of GGUF's same weights."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.reference_decoder import read_decoder
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.native.reference import ReferenceDecoder
from pennyweight.native.reference_blocks import dequantise
from tests.models.converter import convert
from tests.models.families import FAMILIES, ORIGINAL_CONTEXT, torch_model
from tests.models.huggingface.tiny_folder import byte_level_files
from tests.native.native_decoders import Driver

if TYPE_CHECKING:
    from pathlib import Path

VOCAB_SIZE = 265  # of the tiny vocabulary
TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, VOCAB_SIZE, 2 * ORIGINAL_CONTEXT)]


def saved(model: Any, folder: Path) -> Path:
    """The folder, with a tokenizer, and MiniCPM's own names for what Granite calls otherwise."""
    model.save_pretrained(folder)
    for name, value in byte_level_files().items():
        (folder / name).write_text(json.dumps(value))
    config = json.loads((folder / "config.json").read_text())
    if config["architectures"] == ["GraniteForCausalLM"]:
        config.pop("attention_multiplier")  # the usual one
        config["scale_emb"] = config.pop("embedding_multiplier")
        config["scale_depth"] = config.pop("residual_multiplier") * sqrt(config["num_hidden_layers"])
        config["dim_model_base"] = int(config["hidden_size"] / config.pop("logits_scaling"))
        config["architectures"] = ["MiniCPMForCausalLM"]
        (folder / "config.json").write_text(json.dumps(config))
    return resolve(folder)


@pytest.fixture(scope="module", params=FAMILIES)
def made(request: pytest.FixtureRequest) -> Any:
    """A family's model and the family."""
    pytest.importorskip("torch", reason="torch is a development dependency")
    pytest.importorskip("transformers", reason="transformers is a development dependency")
    family = FAMILIES[request.param]
    if family.name == "Granite":  # MiniCPM's divisor is a width over a whole number
        family = replace(family, settings=family.settings | {"logits_scaling": 2.0})
    return torch_model(family, VOCAB_SIZE), family


def test_saved_folders_are_their_gguf_files(made: Any, tmp_path: Path) -> None:
    model, family = made
    spec, tensors = read_decoder(saved(model, tmp_path / "folder"), context=family.context)
    converted = read_decoder(convert(model, tmp_path / "a.gguf", kind="F32"), context=family.context)
    for field in fields(spec):
        agree(getattr(spec, field.name), getattr(converted[0], field.name))
    assert tensors.keys() == converted[1].keys()
    for part, values in tensors.items():
        assert _bytes(values) == _bytes(converted[1][part]), part


def test_the_engine_computes_the_same_bits(made: Any, tmp_path: Path) -> None:
    model, family = made
    paths = saved(model, tmp_path / "folder"), convert(model, tmp_path / "a.gguf", kind="F32")
    scores = []
    for path in paths:
        loaded = load(path, context=family.context)
        scores.append(Driver(loaded.model, vocab_size=VOCAB_SIZE).score(TOKENS[: family.context]))
    np.testing.assert_array_equal(*scores)


def test_saved_folders_are_the_model(made: Any, tmp_path: Path) -> None:
    import torch

    model, family = made
    tokens = TOKENS[: family.context]
    with torch.inference_mode():
        theirs = model(torch.tensor([tokens]), use_cache=False).logits[0].numpy()
    spec, tensors = read_decoder(saved(model, tmp_path / "folder"), context=family.context)
    ours = ReferenceDecoder(spec, tensors, mode="float32").logits(tokens)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def agree(ours: Any, theirs: Any) -> None:
    """Two parts of specs are the same, numbers as float32: what GGUF keeps and the engine takes."""
    if isinstance(ours, tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            agree(one, other)
    elif hasattr(ours, "inverse_frequencies"):
        agree(ours.inverse_frequencies, theirs.inverse_frequencies)
        agree(ours.magnitude, theirs.magnitude)
    elif isinstance(ours, float):
        assert np.float32(ours) == pytest.approx(np.float32(theirs), rel=2e-7, abs=0)
    else:
        assert ours == theirs


def _bytes(values: Any) -> bytes:
    return bytes((values if isinstance(values, np.ndarray) else dequantise(values)).tobytes())
