"""Folders as Mistral publishes models: `params.json`, `consolidated.safetensors`, and a vocabulary.

Sizes and tensors have names of their own, and the rows of queries and keys lie in the order of interleaved
rotation, which is that of GGUF's Llama too. Translated here to what `transformers` calls them.
Format: https://github.com/mistralai/mistral-inference (TransformerArgs).
"""

from __future__ import annotations

import re
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pennyweight.models.huggingface.families import LEFT_OUT, FolderModel, translate
from pennyweight.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE: Final = "params.json"
_USUAL_CONTEXT: Final = 32_768  # of the models whose file does not say
_LAYER: Final = re.compile(r"layers\.(?P<layer>\d{1,6})\.(?P<part>.+)\.weight")
_EXPERT: Final = re.compile(r"feed_forward\.experts\.(?P<rest>\d{1,6}\.w[123])")
_PARTS: Final = MappingProxyType(
    {
        "attention.wq": "self_attn.q_proj",
        "attention.wk": "self_attn.k_proj",
        "attention.wv": "self_attn.v_proj",
        "attention.wo": "self_attn.o_proj",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "feed_forward.w1": "mlp.gate_proj",
        "feed_forward.w2": "mlp.down_proj",
        "feed_forward.w3": "mlp.up_proj",
        "feed_forward.gate": "block_sparse_moe.gate",
    }
)
_WHOLE: Final = MappingProxyType(
    {
        "tok_embeddings.weight": "model.embed_tokens.weight",
        "norm.weight": "model.norm.weight",
        "output.weight": "lm_head.weight",
    }
)
_IMAGE_TENSORS: Final = (
    *("vision_encoder.", "vision_language_adapter.", "patch_merger.", "pre_mm_projector_norm."),
)


def translate_params(params: Mapping[str, Any]) -> FolderModel:
    """The model that a `params.json` describes. ModelFileError names what this engine does not compute."""
    given = {f"{_FILE}.{key}": value for key, value in params.items() if value is not None}
    keys = Hyperparameters(given, architecture=_FILE)
    keys.only("model_type", "transformer")
    config = _sizes(keys) | _experts(keys)
    sees = keys.take("vision_encoder") is not None
    keys.ignore("image_token_id", "max_batch_size")
    keys.only("use_biases", False)
    keys.only("causal", True)
    keys.finish()
    model = replace(translate(config), name_of=_usual_name, rotary_rows="interleaved")
    return replace(model, metadata={**model.metadata, LEFT_OUT: "images"}) if sees else model


def _sizes(keys: Hyperparameters) -> dict[str, Any]:
    num_heads = keys.integer("n_heads")
    window = keys.take("sliding_window")
    theta = keys.take("rope_theta")
    context = [keys.take(key) for key in ("max_position_embeddings", "max_seq_len")]
    return {
        "architectures": ["MistralForCausalLM"],
        "vocab_size": keys.integer("vocab_size"),
        "hidden_size": keys.integer("dim"),
        "num_hidden_layers": keys.integer("n_layers"),
        "num_attention_heads": num_heads,
        "num_key_value_heads": keys.integer("n_kv_heads", default=num_heads),
        "head_dim": keys.integer("head_dim"),
        "intermediate_size": keys.integer("hidden_dim"),
        "rms_norm_eps": keys.number("norm_eps", low=1e-12, high=1.0),
        "max_position_embeddings": next((n for n in context if n is not None), _USUAL_CONTEXT),
        # what mistral-inference takes where nothing is said
        "rope_theta": theta if theta is not None else 10_000.0 if window else 1e6,
        "sliding_window": window,
        "tie_word_embeddings": keys.take("tied_embeddings") is True,
    }


def _experts(keys: Hyperparameters) -> dict[str, Any]:
    section = keys.take("moe")
    if section is None:
        return {}
    if not isinstance(section, dict):
        raise keys.fail("moe", section, "an object")
    moe = Hyperparameters({f"moe.{key}": value for key, value in section.items()}, architecture="moe")
    found = {
        "architectures": ["MixtralForCausalLM"],
        "num_local_experts": moe.integer("num_experts"),
        "num_experts_per_tok": moe.integer("num_experts_per_tok"),
    }
    moe.finish()
    return found


def _usual_name(name: str) -> str | None:
    """What `transformers` calls the tensor `name`; None for one of images."""
    if name.startswith(_IMAGE_TENSORS):
        return None
    match = _LAYER.fullmatch(name)
    if match is None:
        return _WHOLE.get(name, name)
    expert = _EXPERT.fullmatch(match["part"])
    part = _PARTS.get(match["part"]) if expert is None else f"block_sparse_moe.experts.{expert['rest']}"
    return name if part is None else f"model.layers.{match['layer']}.{part}.weight"
