"""A model file with half of another's layers, and the same file with weights that were trained since.

Tokenizer, template, embedding and norms are the teacher's, byte for byte, and so are the types of matrices
that are not asked for in another: what is compared differs in depth alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from examples.half_depth.rounding import in_four_bits
from pennyweight.models.gguf import GGUFFile
from pennyweight.models.gguf_metadata import raw_metadata
from pennyweight.models.gguf_writer import NewTensor, encode_value, write_gguf
from pennyweight.models.outline import described
from pennyweight.models.source import open_source
from pennyweight.native import _native

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pennyweight.tune.base_model import BaseModel


def kept_layers(num_layers: int) -> tuple[int, ...]:
    """Every second one with the first, which reads the embedding, and the last, which the head reads."""
    half = -(-num_layers // 2)
    return tuple(round(index * (num_layers - 1) / max(1, half - 1)) for index in range(half))


def write_shallow(teacher: Path, destination: Path) -> None:
    """The GGUF file `teacher` with every second layer only."""
    metadata = raw_metadata(teacher)
    with GGUFFile.open(teacher) as source:
        key = f"{source.metadata['general.architecture']}.block_count"
        layers = kept_layers(source.metadata[key])
        metadata[key] = encode_value(len(layers))
        names = {}
        for name in source.tensors:
            if not name.startswith("blk."):
                names[name] = name
                continue
            _, number, rest = name.split(".", 2)
            if int(number) in layers:
                names[f"blk.{layers.index(int(number))}.{rest}"] = name
        _write(source, destination, metadata, names, lambda name: bytes(source.read(names[name])), types={})


def is_in_four_bits(path: Path) -> bool:
    """Whether all matrices of the layers of a GGUF file are Q4_1."""
    with GGUFFile.open(path) as source:
        matrices = [
            info for name, info in source.tensors.items() if name.startswith("blk.") and len(info.shape) > 1
        ]
    return all(info.type == "Q4_1" for info in matrices)


def write_trained(shallow: Path, destination: Path, student: BaseModel, *, kind: str | None = None) -> None:
    """The GGUF file `shallow` with the matrices of `student`'s layers in the type `kind`, None: their own."""
    rows = _trained_rows(shallow, student)
    with GGUFFile.open(shallow) as source:
        types = {name: kind or source.tensors[name].type for name in rows}

        def data(name: str) -> bytes:
            if name not in rows:
                return bytes(source.read(name))
            values = in_four_bits(rows[name]) if types[name] == "Q4_1" else rows[name]
            return _native.requantize(
                values.contiguous().numpy(), type="F32", to=types[name], columns=values.shape[1]
            )

        names = {name: name for name in source.tensors}
        _write(source, destination, raw_metadata(shallow), names, data, types=types)


def _write(
    source: GGUFFile,
    destination: Path,
    metadata: Mapping[str, bytes],
    names: Mapping[str, str],
    data: Callable[[str], bytes],
    *,
    types: Mapping[str, str],
) -> None:
    """Tensors by their new names with those of `source`, of its types but for `types`; it appears whole."""
    tensors = [
        NewTensor(name=new, type=types.get(new, source.tensors[old].type), shape=source.tensors[old].shape)
        for new, old in names.items()
    ]
    work = destination.with_name(f"{destination.name}.new")
    with work.open("wb") as file:
        write_gguf(file, metadata=metadata, tensors=tensors, data=lambda tensor: [data(tensor.name)])
    work.replace(destination)


def _trained_rows(path: Path, student: BaseModel) -> dict[str, Any]:
    """`[rows, columns]` float32 by the file's names, in the file's order of rows."""
    with open_source(path) as source:
        spec, roles = described(source)
    assert spec.architecture == "llama", "this example knows how a llama's layers are stored"
    found = {}
    for block, layer in zip(student.decoder.layers, roles.layers, strict=True):
        attention, feed = block.self_attn, block.mlp
        for role, linear in (
            (layer.query, attention.q_proj),
            (layer.key, attention.k_proj),
            (layer.value, attention.v_proj),
            (layer.output, attention.o_proj),
            (layer.gate, feed.gate_proj),
            (layer.up, feed.up_proj),
            (layer.down, feed.down_proj),
        ):
            assert role is not None
            rows = linear.weight.detach().float()
            stored = torch.empty_like(rows)
            stored[torch.arange(role.rows) if role.row_map is None else torch.tensor(role.row_map)] = rows
            found[role.tensor] = stored
    return found
