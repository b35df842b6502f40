"""A model file as the NumPy reference wants it: the same roles the engine packs, decoded."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.models.outline import described, matrix_bytes
from pennyweight.models.source import open_source
from pennyweight.native.reference_blocks import decode

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.models.roles import LayerRoles, MatrixRole
    from pennyweight.models.source import WeightSource
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native.reference_blocks import Floats, Weights


def read_decoder(path: Path, *, context: int | None = None) -> tuple[ModelSpec, dict[str, Weights | Floats]]:
    """The spec, and the tensors of `ReferenceDecoder` by name. Raises ModelFileError."""
    with open_source(path) as file:
        spec, roles = described(file, context)
        parts: dict[str, MatrixRole | str | None] = {
            "embedding": roles.embedding,
            "final_norm": roles.final_norm,
            "head": roles.head,
        }
        tensors = {name: _read(file, role) for name, role in parts.items() if role is not None}
        for index, layer in enumerate(roles.layers):
            tensors |= {f"layers.{index}.{name}": part for name, part in _layer(file, layer).items()}
        return spec, tensors


def _layer(file: WeightSource, layer: LayerRoles) -> dict[str, Weights | Floats]:
    parts = {part.name: getattr(layer, part.name) for part in fields(layer)}
    for index, expert in enumerate(parts.pop("experts")):
        parts |= {f"experts.{index}.{part.name}": getattr(expert, part.name) for part in fields(expert)}
    tensors = {name: _read(file, role) for name, role in parts.items() if role is not None}
    for name in ("query", "key"):
        if f"{name}_bias" in tensors and parts[name].row_map is not None:
            bias = np.asarray(tensors[f"{name}_bias"], np.float32)
            tensors[f"{name}_bias"] = bias[list(parts[name].row_map)]
    return tensors


def _read(file: WeightSource, role: MatrixRole | str) -> Weights | Floats:
    if isinstance(role, str):
        return np.frombuffer(file.read(role), np.float32)
    row_bytes = matrix_bytes(file, role) // role.rows
    data = bytearray(role.rows * row_bytes)
    file.read_into(role.tensor, memoryview(data), start=role.first_row * row_bytes)
    type_name = file.tensors[role.tensor].type
    return decode(data, type=type_name, rows=role.rows, columns=role.columns, row_map=role.row_map)
