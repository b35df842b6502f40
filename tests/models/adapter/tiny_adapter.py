"""Tiny adapters as PEFT saves them: random low-rank matrices for the modules of a tiny model."""

from __future__ import annotations

import json
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.models.quantise import quantise
from tests.models.tiny_encoder import safetensors_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.models.tiny import TinyShape

    Stored = tuple[str, tuple[int, ...], bytes]

RANK = 4


def module_shapes(shape: TinyShape) -> dict[str, tuple[int, int]]:
    """Rows and columns of every module of a decoder block, by its name in `transformers`."""
    query, key = shape.num_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    parts = {
        "self_attn.q_proj": (query, shape.d_model),
        "self_attn.k_proj": (key, shape.d_model),
        "self_attn.v_proj": (key, shape.d_model),
        "self_attn.o_proj": (shape.d_model, query),
        "mlp.gate_proj": (shape.d_ff, shape.d_model),
        "mlp.up_proj": (shape.d_ff, shape.d_model),
        "mlp.down_proj": (shape.d_model, shape.d_ff),
    }
    return {
        f"model.layers.{layer}.{part}": sizes
        for layer in range(shape.num_layers)
        for part, sizes in parts.items()
    }


def adapter_tensors(
    modules: Mapping[str, tuple[int, int]], *, rank: int = RANK, kind: str = "BF16", seed: int = 1
) -> dict[str, Stored]:
    """Both matrices of every module; what they add is about as large as what is there."""
    random = np.random.default_rng(seed)
    stored: dict[str, Stored] = {}
    for module, (rows, columns) in modules.items():
        for half, size, gain in (("A", (rank, columns), 1 / sqrt(columns)), ("B", (rows, rank), 0.5)):
            values = (random.normal(size=size) * gain).astype(np.float32)
            name = f"base_model.model.{module}.lora_{half}.weight"
            stored[name] = (kind, size, quantise(values, kind))
    return stored


def adapter_config(**changes: Any) -> dict[str, Any]:
    """An `adapter_config.json` as PEFT 0.21 writes it."""
    return {
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "somewhere/else",
        "r": RANK,
        "lora_alpha": 2 * RANK,
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
        "init_lora_weights": True,
        "modules_to_save": None,
        "layer_replication": None,
    } | changes


def write_adapter(
    folder: Path,
    shape: TinyShape,
    *,
    seed: int = 1,
    tensors: Mapping[str, Stored] | None = None,
    **changes: Any,
) -> Path:
    """A whole folder; `changes` are keys of its configuration. Returns `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(adapter_config(**changes)))
    stored = adapter_tensors(module_shapes(shape), seed=seed) if tensors is None else tensors
    (folder / "adapter_model.safetensors").write_bytes(safetensors_bytes(dict(stored)))
    return folder
