"""Tiny models of every family, made by `transformers`: what each family's settings are.

The weights are random but scaled so that activations stay near 1 and logits are lively; every matrix is first
rounded to Q8_0, so that a file of floats and one of Q8_0 hold the same model.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np

from pennyweight.native.reference_blocks import decode, dequantise
from tests.models.quantise import quantise

ORIGINAL_CONTEXT = 32  # positions before scaling, where a family scales
CONTEXT = 256
_LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
_PRETRAINED = {"original_max_position_embeddings": ORIGINAL_CONTEXT}


@dataclass(frozen=True, slots=True)
class Family:
    """`name` starts the classes' names in transformers. `context` is what the engine is opened with."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    context: int | None = None


def rope(**scaling: Any) -> dict[str, Any]:
    """`rope_parameters`; no scaling: the plain rotation."""
    return {"rope_parameters": {"rope_theta": 10_000.0, "rope_type": "default", **scaling}}


def _longrope(pairs: int) -> dict[str, Any]:
    long = [1.0 + 0.5 * index for index in range(pairs)]
    short = [1.0 + 0.1 * index for index in range(pairs)]
    return {"rope_type": "longrope", "long_factor": long, "short_factor": short, **_PRETRAINED}


_PHI = {**_PRETRAINED, "pad_token_id": 0, "eos_token_id": 1, "num_hidden_layers": 2}
_EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}

FAMILIES = {
    "llama 2": Family("Llama", rope()),
    "llama 3": Family("Llama", rope(**_LLAMA3, **_PRETRAINED)),
    "llama linear": Family("Llama", rope(rope_type="linear", factor=4.0)),
    "llama yarn": Family("Llama", rope(rope_type="yarn", factor=8.0, **_PRETRAINED)),
    "llama yarn stated": Family(
        "Llama",
        rope(rope_type="yarn", factor=8.0, attention_factor=1.1, beta_fast=6, beta_slow=2, **_PRETRAINED),
    ),
    "llama biases": Family("Llama", rope() | {"attention_bias": True, "tie_word_embeddings": True}),
    "mistral": Family("Mistral", rope() | {"sliding_window": 24}),
    "nemo": Family("Mistral", rope(rope_theta=1e6) | {"head_dim": 32, "sliding_window": None}),
    "mixtral": Family("Mixtral", rope() | _EXPERTS),
    "qwen2": Family("Qwen2", rope(rope_theta=1e6) | {"tie_word_embeddings": True}),
    "qwen2 yarn": Family("Qwen2", rope(rope_type="yarn", factor=8.0, **_PRETRAINED)),
    "qwen3": Family("Qwen3", rope(rope_theta=1e6) | {"head_dim": 32}),
    "qwen3 moe": Family(
        "Qwen3Moe",
        rope()
        | {
            "head_dim": 32,
            "num_experts": 8,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 32,
            "norm_topk_prob": True,
        },
    ),
    "phi 3": Family("Phi3", rope() | _PHI | {"sliding_window": 24}),
    "phi 3 long": Family("Phi3", rope(**_longrope(8)) | _PHI),
    "phi 3 short": Family("Phi3", rope(**_longrope(8)) | _PHI, context=ORIGINAL_CONTEXT),
    "phi 4 mini": Family(
        "Phi3", rope(partial_rotary_factor=0.75, **_longrope(6)) | _PHI | {"tie_word_embeddings": True}
    ),
    "gemma 2": Family(
        "Gemma2",
        rope()
        | {
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 24,
            "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 8.0,
            "num_hidden_layers": 3,
            "tie_word_embeddings": True,
        },
    ),
    "gemma 3": Family(
        "Gemma3",
        {
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
                "full_attention": {"rope_type": "linear", "rope_theta": 1e6, "factor": 8.0},
            },
            "head_dim": 32,
            "query_pre_attn_scalar": 32,
            "sliding_window": 24,
            "num_hidden_layers": 7,
            "tie_word_embeddings": True,
        },
    ),
    # Granite's decoder does what MiniCPM's does, whose code is not in transformers.
    "minicpm": Family(
        "Granite",
        rope()
        | {
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.5,
            "logits_scaling": 1.5,
            "attention_multiplier": 0.25,
            "tie_word_embeddings": True,
        },
    ),
    "smollm 3": Family(
        "SmolLM3", rope(rope_theta=2e6) | {"num_hidden_layers": 4, "tie_word_embeddings": True}
    ),
    "olmo 2": Family("Olmo2", rope()),
}


def torch_model(family: Family, vocab_size: int) -> Any:
    """The model in float32, weights filled in."""
    import torch
    import transformers

    text = "Text" if family.name == "Gemma3" else ""
    usual = {
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "attn_implementation": "eager",
    }
    config = getattr(transformers, f"{family.name}{text}Config")(**usual | family.settings)
    with torch.device("meta"):
        empty = getattr(transformers, f"{family.name}ForCausalLM")(config)
    state = {
        name: _values(name, tuple(part.shape), shift=_shift(family))
        for name, part in empty.state_dict().items()
    }
    model = getattr(transformers, f"{family.name}ForCausalLM")(config)
    model.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()}, strict=False)
    model.tie_weights()
    return model.eval()


def _shift(family: Family) -> float:
    """What the family adds to the weight of a norm."""
    return 1.0 if family.name.startswith("Gemma") else 0.0


def _values(name: str, shape: tuple[int, ...], *, shift: float) -> np.ndarray:
    random = np.random.default_rng(list(name.encode()))
    if len(shape) == 1:
        bias = name.endswith("bias")
        mean = 3.0 if name == "model.norm.weight" else 1.0  # logits that differ by a few nats
        values = 0.3 * random.normal(size=shape) + (0.0 if bias else mean - shift)
        return values.astype(np.float32)
    # small embeddings, or a tied head would answer each token with itself
    gain = 0.5 if "embed" in name or "lm_head" in name else 1.5
    values = (random.normal(size=shape) * gain / sqrt(shape[-1])).astype(np.float32)
    if name.endswith("mlp.gate.weight"):
        return values  # a router stays in floats
    rows = values.reshape(-1, shape[-1])
    blocks = decode(quantise(rows, "Q8_0"), type="Q8_0", rows=len(rows), columns=shape[-1])
    return dequantise(blocks).reshape(shape)
