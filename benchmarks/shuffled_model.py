"""A float model to quantise, made of a file whose weights lie on the grids of its own blocks.

No float file of the default model can be had everywhere, and quantising what was quantised before is no test:
the blocks would meet their own grid again. A decoder computes the same whatever the order of the model's
width, of each feed-forward layer's units and of each value head's elements; in another order every block
holds columns of many old blocks. So the function is the model's, and no block has a grid any more.

    python -m benchmarks.shuffled_model SmolLM2-135M-Instruct.Q4_1.gguf shuffled.F16.gguf
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pennyweight.models.gguf import GGUFFile
from pennyweight.models.gguf_metadata import raw_metadata
from pennyweight.models.gguf_writer import NewTensor, encode_value, write_gguf
from pennyweight.models.local import resolve
from pennyweight.models.outline import described
from pennyweight.native.reference_blocks import decode, dequantise

if TYPE_CHECKING:
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native.reference_blocks import Floats

_FLOAT16 = 1  # of general.file_type
_WIDTH_ROWS = ("attn_output", "ffn_down")  # these write the residual stream, all others read it


class Shuffle:
    """The orders of one model, from a fixed seed."""

    def __init__(self, spec: ModelSpec) -> None:
        rng = np.random.default_rng(1)
        self.width = rng.permutation(spec.d_model)
        self.units = [rng.permutation(spec.d_ff) for _ in range(spec.num_layers)]
        dim = spec.head_dim
        heads = [[rng.permutation(dim) for _ in range(spec.num_kv_heads)] for _ in range(spec.num_layers)]
        group = spec.num_heads // spec.num_kv_heads
        self.values = [np.concatenate([h * dim + p for h, p in enumerate(own)]) for own in heads]
        self.mixed = [
            np.concatenate([h * dim + own[h // group] for h in range(spec.num_heads)]) for own in heads
        ]

    def apply(self, name: str, values: Floats) -> Floats:
        """One tensor in the new orders."""
        parts = name.split(".")
        if values.ndim == 1:
            return values[self.width]
        if parts[0] != "blk":
            return values[:, self.width]
        layer, part = int(parts[1]), parts[2]
        own_rows = {"ffn_gate": self.units, "ffn_up": self.units, "attn_v": self.values}
        own_columns = {"ffn_down": self.units, "attn_output": self.mixed}
        rows = own_rows[part][layer] if part in own_rows else slice(None)
        columns = own_columns[part][layer] if part in own_columns else self.width
        moved: Floats = values[self.width if part in _WIDTH_ROWS else rows][:, columns]
        return moved


def write_shuffled(source: Path, destination: Path) -> None:
    """Write the model at `source` in other orders: matrices as F16, vectors as F32."""
    with GGUFFile.open(source) as file:
        spec, _ = described(file)
        shuffle = Shuffle(spec)
        tensors = [
            NewTensor(name=name, type="F32" if len(tensor.shape) == 1 else "F16", shape=tensor.shape)
            for name, tensor in file.tensors.items()
        ]

        def data(tensor: NewTensor) -> list[bytes]:
            rows = 1 if len(tensor.shape) == 1 else tensor.shape[0]
            blocks = decode(
                file.read(tensor.name),
                type=file.tensors[tensor.name].type,
                rows=rows,
                columns=tensor.shape[-1],
            )
            values = shuffle.apply(tensor.name, dequantise(blocks).reshape(tensor.shape))
            return [values.astype(np.float32 if tensor.type == "F32" else np.float16).tobytes()]

        metadata = raw_metadata(source) | {"general.file_type": encode_value(_FLOAT16)}
        with destination.open("wb") as out:
            write_gguf(out, metadata=metadata, tensors=tensors, data=data)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", help="name or path of a Llama-like GGUF file")
    parser.add_argument("destination", type=Path)
    options = parser.parse_args()
    write_shuffled(resolve(options.source), options.destination)


if __name__ == "__main__":
    main()
