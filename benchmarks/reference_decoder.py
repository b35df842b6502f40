"""A model file as the NumPy reference wants it: the same roles the engine packs, decoded."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.models.gguf import GGUFFile
from pennyweight.models.outline import described, matrix_bytes
from pennyweight.native.reference_blocks import decode

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.models.roles import MatrixRole
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native.reference_blocks import Floats, Weights


def read_decoder(path: Path) -> tuple[ModelSpec, dict[str, Weights | Floats]]:
    """The spec, and the tensors of `ReferenceDecoder` by name. Raises ModelFileError."""
    with GGUFFile.open(path) as file:
        spec, roles = described(file)
        parts: dict[str, MatrixRole | str | None] = {
            "embedding": roles.embedding,
            "final_norm": roles.final_norm,
            "head": roles.head,
        }
        for index, layer in enumerate(roles.layers):
            parts |= {f"layers.{index}.{part.name}": getattr(layer, part.name) for part in fields(layer)}
        return spec, {name: _read(file, role) for name, role in parts.items() if role is not None}


def _read(file: GGUFFile, role: MatrixRole | str) -> Weights | Floats:
    if isinstance(role, str):
        return np.frombuffer(file.read(role), np.float32)
    row_bytes = matrix_bytes(file, role) // role.rows
    data = bytearray(role.rows * row_bytes)
    file.read_into(role.tensor, memoryview(data), start=role.first_row * row_bytes)
    type_name = file.tensors[role.tensor].type
    return decode(data, type=type_name, rows=role.rows, columns=role.columns, row_map=role.row_map)
