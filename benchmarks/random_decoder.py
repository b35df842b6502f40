"""A small decoder of random weights, for measurements that need a model of any context and no sense."""

from __future__ import annotations

import random
import struct

from pennyweight.models.rope import rope_spec
from pennyweight.native import _native

VOCAB_SIZE = 4096
_LAYERS, _HEADS, _KV_HEADS, _HEAD_DIM, _D_MODEL, _D_FF = 4, 4, 1, 64, 256, 768


def random_decoder() -> _native.Model:
    """Q4_0 weights of random bits, scaled so that states stay finite; positions interpolated 16-fold."""
    draw = random.Random(2)
    scale = struct.pack("<e", 0.01)

    def matrix(rows: int, columns: int) -> _native.PackedMatrix:
        blocks = b"".join(scale + draw.randbytes(16) for _ in range(rows * columns // 32))
        return _native.PackedMatrix(blocks, type="Q4_0", rows=rows, columns=columns)

    ones = struct.pack(f"<{_D_MODEL}f", *[1.0] * _D_MODEL)
    layers = [
        _native.LayerWeights(
            attention_norm=ones,
            query=matrix(_HEADS * _HEAD_DIM, _D_MODEL),
            key=matrix(_KV_HEADS * _HEAD_DIM, _D_MODEL),
            value=matrix(_KV_HEADS * _HEAD_DIM, _D_MODEL),
            output=matrix(_D_MODEL, _HEADS * _HEAD_DIM),
            feed_forward_norm=ones,
            gate=matrix(_D_FF, _D_MODEL),
            up=matrix(_D_FF, _D_MODEL),
            down=matrix(_D_MODEL, _D_FF),
        )
        for _ in range(_LAYERS)
    ]
    rope = rope_spec(base=10_000.0, head_dim=_HEAD_DIM, rotary_dim=_HEAD_DIM, linear_factor=16.0)
    return _native.Model(
        vocab_size=VOCAB_SIZE,
        d_model=_D_MODEL,
        num_heads=_HEADS,
        num_kv_heads=_KV_HEADS,
        head_dim=_HEAD_DIM,
        d_ff=_D_FF,
        norm_eps=1e-5,
        activation="silu",
        attention_scale=_HEAD_DIM**-0.5,
        embedding_scale=1.0,
        windows=[0] * _LAYERS,
        ropes=[rope.inverse_frequencies],
        rope_of_layer=[0] * _LAYERS,
        layers=layers,
        embedding=matrix(VOCAB_SIZE, _D_MODEL),
        final_norm=ones,
    )
