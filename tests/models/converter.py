"""What llama.cpp's converter makes of a `transformers` model: keys, names and row orders, for tiny models.

Facts from its `conversion/` folder of 2026: `set_gguf_parameters` and `modify_tensors` of each family.
"""

from __future__ import annotations

import re
from math import log, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.models.gguf_writer import RawTensor, write_gguf
from tests.models.quantise import quantise
from tests.models.tiny_vocabulary import bpe_vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "mixtral": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "phi3": "phi3",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "granite": "minicpm",
    "smollm3": "smollm3",
    "olmo2": "olmo2",
}
"""By `model_type`; Granite stands for MiniCPM, whose classes are not in transformers."""

_PERMUTED = ("llama", "minicpm", "smollm3")
_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
    "mlp.gate": "ffn_gate_inp",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def convert(model: Any, path: Path, *, kind: str, changes: dict[str, Any] | None = None) -> Path:
    """Write `model` with its matrices in `kind`; `changes` are keys set, or dropped if None."""
    metadata = {**keys_of(model.config), **(changes or {})}
    written = {key: value for key, value in metadata.items() if value is not None}
    return write_gguf(path, written, dict(tensors_of(model, kind)))


def keys_of(config: Any) -> dict[str, Any]:
    """Metadata, tokenizer included."""
    name = ARCHITECTURES[config.model_type]
    keys = {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        **_rope_keys(config, name),
        **_special_keys(config, name),
    }
    if name != "phi3" and getattr(config, "head_dim", None):
        keys |= {"attention.key_length": config.head_dim, "attention.value_length": config.head_dim}
    return {
        "general.architecture": name,
        **{f"{name}.{key}": value for key, value in keys.items()},
        **bpe_vocabulary(),
    }


def _rope_keys(config: Any, name: str) -> dict[str, Any]:
    scaling = config.rope_parameters.get("full_attention", config.rope_parameters)
    keys: dict[str, Any] = {"rope.freq_base": scaling["rope_theta"]}
    kind = scaling["rope_type"]
    if kind in ("linear", "yarn"):
        keys |= {"rope.scaling.type": kind, "rope.scaling.factor": float(scaling["factor"])}
    if kind == "yarn":
        keys["rope.scaling.original_context_length"] = scaling["original_max_position_embeddings"]
        stated = {"attention_factor": "attn_factor", "beta_fast": "beta_fast", "beta_slow": "beta_slow"}
        keys |= {f"rope.scaling.yarn_{ours}": float(scaling[k]) for k, ours in stated.items() if k in scaling}
    if name == "phi3":
        original = config.original_max_position_embeddings
        keys["rope.scaling.original_context_length"] = original
        whole, heads = (
            int(scaling.get("partial_rotary_factor", 1.0) * config.hidden_size),
            config.num_attention_heads,
        )
        keys["rope.dimension_count"] = whole // heads
        if kind == "longrope":
            longer = config.max_position_embeddings / original
            keys["rope.scaling.attn_factor"] = sqrt(1 + log(longer) / log(original))
    if name in ("llama", "smollm3"):
        keys["rope.dimension_count"] = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
    return keys


def _special_keys(config: Any, name: str) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    if name in ("llama", "smollm3", "minicpm"):
        keys["vocab_size"] = config.vocab_size
    if name in ("phi3", "gemma2", "gemma3") or config.model_type == "mistral":
        keys["attention.sliding_window"] = config.sliding_window or 0
    if name == "gemma2":
        keys["attn_logit_softcapping"] = config.attn_logit_softcapping
        keys["final_logit_softcapping"] = config.final_logit_softcapping
    if name == "minicpm":
        keys["embedding_scale"] = config.embedding_multiplier
        keys["residual_scale"] = config.residual_multiplier
        keys["logit_scale"] = config.logits_scaling
    if hasattr(config, "num_experts_per_tok"):
        keys["expert_count"] = config.num_experts
        keys["expert_used_count"] = config.num_experts_per_tok
    if hasattr(config, "moe_intermediate_size"):
        keys["expert_feed_forward_length"] = config.moe_intermediate_size
    return keys


def tensors_of(model: Any, kind: str) -> Iterator[tuple[str, RawTensor]]:
    """Every tensor under its name in the file."""
    config, name = model.config, ARCHITECTURES[model.config.model_type]
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    for own, part in model.state_dict().items():
        if own in tied:
            continue
        values = part.numpy()
        if name.startswith("gemma") and own.endswith("norm.weight"):
            values = values + np.float32(1)
        if name in _PERMUTED and "q_proj" in own:
            values = _permuted(values, config.num_attention_heads)
        if name in _PERMUTED and "k_proj" in own:
            values = _permuted(values, config.num_key_value_heads)
        for stored, matrix in _stored(own, values, has_pre_norm="gemma" in name, post_only=name == "olmo2"):
            floats = matrix.ndim == 1 or "ffn_gate_inp" in stored
            yield (
                stored,
                RawTensor(
                    "F32" if floats else kind, matrix.shape, quantise(matrix, "F32" if floats else kind)
                ),
            )
    yield from ((stored, _floats(values)) for stored, values in _rope_tensors(config))


def _stored(
    own: str, values: np.ndarray, *, has_pre_norm: bool, post_only: bool
) -> Iterator[tuple[str, np.ndarray]]:
    match = re.fullmatch(r"(?:model\.layers\.(\d+)\.)?(.+?)(?:\.(weight|bias))?", own)
    assert match is not None
    layer, part, suffix = match.groups()
    prefix = "" if layer is None else f"blk.{layer}."
    if part == "mlp.experts.gate_up_proj":
        half = values.shape[1] // 2
        yield f"{prefix}ffn_gate_exps.weight", values[:, :half]
        yield f"{prefix}ffn_up_exps.weight", values[:, half:]
    elif part == "mlp.experts.down_proj":
        yield f"{prefix}ffn_down_exps.weight", values
    elif part == "post_attention_layernorm":
        after = has_pre_norm or post_only
        yield f"{prefix}{'post_attention_norm' if after else 'ffn_norm'}.weight", values
    else:
        yield f"{prefix}{_NAMES[part]}.{suffix}", values


def _permuted(values: np.ndarray, heads: int) -> np.ndarray:
    """Rows `[heads, 2, half]` as `[heads, half, 2]`."""
    apart = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return apart.swapaxes(1, 2).reshape(values.shape)


def _rope_tensors(config: Any) -> Iterator[tuple[str, np.ndarray]]:
    scaling = config.rope_parameters
    if scaling.get("rope_type") == "longrope":
        yield "rope_factors_long.weight", np.array(scaling["long_factor"], np.float32)
        yield "rope_factors_short.weight", np.array(scaling["short_factor"], np.float32)
    if scaling.get("rope_type") == "llama3":
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        turns = scaling["rope_theta"] ** (-np.arange(0, size, 2) / size) / (2 * np.pi)
        turns *= scaling["original_max_position_embeddings"]
        low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
        smooth = np.clip((turns - low) / (high - low), 0, 1)
        yield "rope_freqs.weight", (1 / ((1 - smooth) / scaling["factor"] + smooth)).astype(np.float32)


def _floats(values: np.ndarray) -> RawTensor:
    return RawTensor("F32", values.shape, quantise(values, "F32"))
