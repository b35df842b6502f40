"""A model file's tensors under the names of `transformers`, exactly what the engine's panels hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from pennyweight.models.load import TensorReader
from pennyweight.native import _native

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pennyweight.models.roles import DecoderRoles, LayerRoles, MatrixRole
    from pennyweight.models.source import WeightSource
    from pennyweight.models.spec import ModelSpec


def state_of(
    source: WeightSource, spec: ModelSpec, roles: DecoderRoles, *, dtype: torch.dtype, biases: Iterable[str]
) -> tuple[dict[str, Any], str]:
    """Matrices in `dtype`, norms in float32, and the content hash that serving finds (`LoadedModel`).

    `biases` are those the network has: it adds zero where the file has none.
    """
    reader = _Reader(source)
    state = dict(_named(reader, spec, roles, dtype))
    for name in biases:
        if name not in state:
            state[name] = torch.zeros(state[name.removesuffix("bias") + "weight"].shape[0], dtype=dtype)
    return state, reader.content_hash()


def _named(
    source: _Reader, spec: ModelSpec, roles: DecoderRoles, dtype: torch.dtype
) -> Iterator[tuple[str, Any]]:
    yield "model.embed_tokens.weight", source.matrix([roles.embedding], dtype)
    yield "model.norm.weight", source.vector(roles.final_norm)
    if roles.head is not None:
        yield "lm_head.weight", source.matrix([roles.head], dtype)
    for index, layer in enumerate(roles.layers):
        prefix = f"model.layers.{index}."
        if spec.architecture == "phi3":  # whose files have the order of `transformers`
            layer = replace(layer, query=_as_stored(layer.query), key=_as_stored(layer.key))
        for name, parts in _matrices(layer, fused=spec.architecture == "phi3").items():
            yield f"{prefix}{name}.weight", source.matrix(parts, dtype)
        for name, vector in _norms(layer).items():
            yield f"{prefix}{name}.weight", source.vector(vector)
        for name, bias, matrix in _biases(layer):
            yield f"{prefix}{name}.bias", _mapped(source.vector(bias), matrix).to(dtype)


def _matrices(layer: LayerRoles, *, fused: bool) -> dict[str, list[MatrixRole]]:
    assert layer.gate is not None
    assert layer.up is not None
    assert layer.down is not None
    ends = {"self_attn.o_proj": [layer.output], "mlp.down_proj": [layer.down]}
    if fused:
        return ends | {
            "self_attn.qkv_proj": [layer.query, layer.key, layer.value],
            "mlp.gate_up_proj": [layer.gate, layer.up],
        }
    return ends | {
        "self_attn.q_proj": [layer.query],
        "self_attn.k_proj": [layer.key],
        "self_attn.v_proj": [layer.value],
        "mlp.gate_proj": [layer.gate],
        "mlp.up_proj": [layer.up],
    }


def _norms(layer: LayerRoles) -> dict[str, str]:
    """Where a layer norms both before and behind, the first of the feed-forward has a name of its own."""
    both = layer.attention_norm is not None and layer.post_attention_norm is not None
    names = {
        "input_layernorm": layer.attention_norm,
        "post_attention_layernorm": layer.post_attention_norm or layer.feed_forward_norm,
        "pre_feedforward_layernorm": layer.feed_forward_norm if both else None,
        "post_feedforward_layernorm": layer.post_feed_forward_norm,
        "self_attn.q_norm": layer.query_norm,
        "self_attn.k_norm": layer.key_norm,
    }
    return {name: tensor for name, tensor in names.items() if tensor is not None}


def _biases(layer: LayerRoles) -> Iterator[tuple[str, str, MatrixRole]]:
    for name, bias, matrix in (
        ("self_attn.q_proj", layer.query_bias, layer.query),
        ("self_attn.k_proj", layer.key_bias, layer.key),
        ("self_attn.v_proj", layer.value_bias, layer.value),
        ("self_attn.o_proj", layer.output_bias, layer.output),
    ):
        if bias is not None:
            yield name, bias, matrix


class _Reader:
    """Tensors as floats."""

    def __init__(self, source: WeightSource) -> None:
        self._types = {name: tensor.type for name, tensor in source.tensors.items()}
        self._tensors = TensorReader(source)

    def content_hash(self) -> str:
        return self._tensors.content_hash()

    def matrix(self, parts: list[MatrixRole], dtype: torch.dtype) -> Any:
        """The rows of the parts below one another."""
        rows = [self._rows(part).to(dtype) for part in parts]
        return rows[0] if len(rows) == 1 else torch.cat(rows)

    def vector(self, name: str) -> Any:
        return torch.frombuffer(self._tensors.vector(name), dtype=torch.float32)

    def _rows(self, role: MatrixRole) -> Any:
        """`[rows, columns]` float32: the blocks' values, each rounded once."""
        floats = bytearray()
        for piece in self._tensors.pieces(role):
            floats += piece
        kind = self._types[role.tensor]
        if kind != "F32":
            floats = bytearray(_native.requantize(floats, type=kind, to="F32", columns=role.columns))
        return _mapped(torch.frombuffer(floats, dtype=torch.float32).view(role.rows, role.columns), role)


def _mapped(rows: Any, role: MatrixRole) -> Any:
    """In the row order of `transformers`: halves, which is the packed order but where heads turn in part."""
    return rows if role.row_map is None else rows[torch.tensor(role.row_map)]


def _as_stored(role: MatrixRole) -> MatrixRole:
    return replace(role, row_map=None)
