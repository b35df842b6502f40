"""What a file of any family says beyond what this engine computes is refused by name; so is what it lacks."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.errors import ModelFileError
from pennyweight.models.architectures import architecture_of
from pennyweight.models.gguf_header import TensorInfo
from tests.models.converter import keys_of, tensors_of
from tests.models.described import Table
from tests.models.families import FAMILIES, torch_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.roles import DecoderRoles

VOCAB_SIZE = 265
ONE_OF_EACH = (
    "llama 3",
    "llama yarn",
    "mixtral",
    "qwen2",
    "qwen3",
    "qwen3 moe",
    "phi 4 mini",
    "gemma 2",
    "gemma 3",
    "minicpm",
    "smollm 3",
    "olmo 2",
)


@dataclass(frozen=True, slots=True)
class File:
    """Header and small tensors of a tiny model."""

    metadata: Mapping[str, Any]
    tensors: Mapping[str, TensorInfo]
    data: Mapping[str, bytes]

    @property
    def architecture(self) -> str:
        return str(self.metadata["general.architecture"])

    def changed(self, key: str, value: Any) -> File:
        """With a key of the architecture set, or dropped if None."""
        full = f"{self.architecture}.{key}"
        metadata = {name: old for name, old in self.metadata.items() if name != full}
        return replace(self, metadata=metadata if value is None else metadata | {full: value})

    def without(self, tensor: str) -> File:
        return replace(self, tensors={name: info for name, info in self.tensors.items() if name != tensor})

    def holding(self, name: str, *shape: int, type: str = "F32", data: bytes = b"") -> File:
        info = TensorInfo(name=name, type=type, shape=shape, nbytes=0, file=0, offset=0)
        return replace(self, tensors={**self.tensors, name: info}, data={**self.data, name: data})

    def described(self) -> DecoderRoles:
        table = Table(self.metadata, self.tensors, self.data)
        architecture = architecture_of(self.metadata)
        return architecture.roles(architecture.describe(table, None), table)


class Files:
    """One file of each family, made when first asked for."""

    def __init__(self) -> None:
        self._made: dict[str, File] = {}

    def __getitem__(self, family: str) -> File:
        if family not in self._made:
            self._made[family] = _file(family)
        return self._made[family]


def _file(family: str) -> File:
    model = torch_model(FAMILIES[family], VOCAB_SIZE)
    metadata = {key: getattr(value, "value", value) for key, value in keys_of(model.config).items()}
    stored = dict(tensors_of(model, "F32"))
    infos = {
        name: TensorInfo(name=name, type=raw.type, shape=raw.shape, nbytes=len(raw.data), file=0, offset=0)
        for name, raw in stored.items()
    }
    return File(metadata, infos, {name: raw.data for name, raw in stored.items()})


@pytest.fixture(scope="module")
def files() -> Files:
    pytest.importorskip("torch", reason="torch is a development dependency")
    pytest.importorskip("transformers", reason="transformers is a development dependency")
    return Files()


@pytest.mark.parametrize("family", ONE_OF_EACH)
def test_every_tensor_is_needed_in_its_shape(files: Files, family: str) -> None:
    file = files[family]
    assert file.described().layers
    # without these a file is another model's, not an incomplete one
    optional = {"output.weight", "rope_freqs.weight"}
    for name, info in file.tensors.items():
        if name not in optional and name.startswith(("blk.0.", "out", "rope", "token")):
            with pytest.raises(ModelFileError, match=r"missing|no matrix|contradict"):
                file.without(name).described()
        with pytest.raises(ModelFileError, match=r"shape|no matrix"):
            file.holding(name, *info.shape, 3).described()


@pytest.mark.parametrize("family", ONE_OF_EACH)
def test_what_is_left_over_is_refused_by_name(files: Files, family: str) -> None:
    file = files[family]
    for name in ("blk.0.ffn_up_shexp.weight", "blk.1.attn_sinks.weight", "blk.0.ffn_down.bias", "cls.weight"):
        with pytest.raises(ModelFileError, match=f"tensor '{name}' has no part"):
            file.holding(name, 8).described()
    for key, value in (("logit_scale", "x"), ("attention.scale", 0.5), ("a_key_of_tomorrow", 1)):
        with pytest.raises(ModelFileError, match=rf"{file.architecture}\.{key}"):
            file.changed(key, value).described()


ROPE = "rope.scaling."


@pytest.mark.parametrize(
    ("family", "key", "value", "message"),
    [
        ("qwen2", ROPE + "type", "longrope", "'rope_factors_long.weight' is missing"),
        ("qwen2", ROPE + "type", "dynamic", "expected 'none' or 'linear' or 'yarn' or 'longrope'"),
        ("llama yarn", ROPE + "factor", None, "factor is missing"),
        ("llama yarn", ROPE + "original_context_length", None, "original_context_length is missing"),
        ("llama yarn", ROPE + "yarn_ext_factor", 0.5, "yarn_ext_factor is 0.5"),
        ("llama yarn", ROPE + "yarn_beta_fast", 0.0, "yarn_beta_fast is 0.0"),
        ("llama yarn", ROPE + "attn_factor", 2.0, "attn_factor is 2.0"),
        ("llama yarn", "rope.freq_base", 1.0, "freq_base is 1.0"),
        ("llama 3", ROPE + "factor", 8.0, "none beside the tensor 'rope_freqs.weight'"),
        ("llama 3", ROPE + "type", "yarn", "goes with the tensor 'rope_freqs.weight'"),
        ("phi 4 mini", ROPE + "type", "linear", "goes with the tensor 'rope_factors_long.weight'"),
        ("phi 4 mini", ROPE + "factor", 4.0, "factor is 4.0"),
        ("phi 4 mini", "rope.dimension_count", 16, r"'rope_factors_long.weight' has the shape \(6,\)"),
        ("phi 4 mini", "attention.sliding_window", -1, "sliding_window is -1"),
        ("gemma 2", ROPE + "type", "yarn", "expected 'none' or 'linear'"),
        ("gemma 2", "attn_logit_softcapping", 0.0, "attn_logit_softcapping is 0.0"),
        ("gemma 2", "attention.sliding_window_pattern", 3, "pattern is 3"),
        ("mixtral", "expert_used_count", 5, "an integer from 1 to 4"),
        ("mixtral", "expert_used_count", None, "expert_used_count is missing"),
        ("mixtral", "expert_gating_func", 2, "expert_gating_func is 2"),
        ("mixtral", "expert_weights_norm", "yes", "expected true or false"),
        ("mixtral", "expert_shared_count", 1, "expert_shared_count is 1"),
        ("mixtral", "expert_count", 2**30, "an integer from 0 to 1024"),
        ("mixtral", "expert_count", 8, r"ffn_gate_inp.weight' has the shape \(4, 64\)"),
        ("mixtral", "expert_count", None, "expert_used_count is 2"),
        ("qwen3 moe", "expert_count", None, "expert_used_count is 3"),
        ("qwen3 moe", "expert_feed_forward_length", 48, r"has the shape \(8, 32, 64\)"),
        ("qwen3", "rope.dimension_count", 16, "dimension_count is 16"),
        ("qwen3", "expert_count", 8, "expert_count is set"),
        ("olmo 2", "attention.sliding_window", 24, "sliding_window is 24; expected 0"),
        ("olmo 2", "rope.dimension_count", 8, "dimension_count is 8"),
        ("minicpm", "residual_scale", 0.0, "residual_scale is 0.0"),
        ("smollm 3", "attention.sliding_window", 24, "sliding_window is set"),
    ],
)
def test_keys_that_contradict_are_refused(
    files: Files, family: str, key: str, value: Any, message: str
) -> None:
    with pytest.raises(ModelFileError, match=message):
        files[family].changed(key, value).described()


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), -1.0, 1e9])
def test_divisors_that_are_none_are_refused(files: Files, value: float) -> None:
    with pytest.raises(ModelFileError, match=r"'rope_freqs\.weight' holds"):
        files["llama 3"].holding("rope_freqs.weight", 8, data=struct.pack("<8f", *[value] * 8)).described()
    with pytest.raises(ModelFileError, match=r"'rope_freqs\.weight' has .* the type F16"):
        files["llama 3"].holding("rope_freqs.weight", 8, type="F16").described()


@pytest.mark.parametrize("family", ["gemma 2", "gemma 3"])
def test_rope_tensors_of_a_family_without_are_refused(files: Files, family: str) -> None:
    with pytest.raises(ModelFileError, match=r"'rope_freqs\.weight' has no part"):
        files[family].holding("rope_freqs.weight", 16).described()


@pytest.mark.parametrize(
    ("name", "needs"),
    [("qwen2moe", "shared experts"), ("minicpm3", "latent attention"), ("gemma3n", "per-layer")],
)
def test_relatives_are_refused_with_a_reason(name: str, needs: str) -> None:
    with pytest.raises(ModelFileError, match=f"'{name}' is not supported .it needs {needs}"):
        architecture_of({"general.architecture": name})
