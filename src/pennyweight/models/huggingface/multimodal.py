"""Models of text and images whose text part is a family of its own: that part is read, the rest is left out.

Such a `config.json` holds the text's in `text_config` (older Qwen-VL: beside `vision_config`), and says only
what differs from the defaults of `transformers`. Rotary positions in three dimensions are the plain ones for
text, whose three positions are the same.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from collections.abc import Mapping

_FILE: Final = "config.json"
_QWEN2_VL: Final = MappingProxyType(
    dict.fromkeys(("qwen2_vl_text", "qwen2_5_vl_text", "qwen2_vl", "qwen2_5_vl"), "Qwen2ForCausalLM")
)
WRAPPERS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "Gemma3ForConditionalGeneration": {"gemma3_text": "Gemma3ForCausalLM"},
        "Mistral3ForConditionalGeneration": {"mistral": "MistralForCausalLM"},
        "LlavaForConditionalGeneration": {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM"},
        "Qwen2VLForConditionalGeneration": _QWEN2_VL,
        "Qwen2_5_VLForConditionalGeneration": _QWEN2_VL,
        "Qwen3VLForConditionalGeneration": {"qwen3_vl_text": "Qwen3ForCausalLM"},
    }
)
"""The text part's class by its `model_type`, for every class that wraps one."""

_LLAMA: Final = {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
}
_DEFAULTS: Final[Mapping[str, Mapping[str, Any]]] = MappingProxyType(
    {
        "llama": _LLAMA,
        "mistral": _LLAMA
        | {
            "intermediate_size": 14_336,
            "num_key_value_heads": 8,
            "max_position_embeddings": 131_072,
            "sliding_window": 4096,
        },
        "gemma3_text": {
            "vocab_size": 262_208,
            "hidden_size": 2304,
            "intermediate_size": 9216,
            "num_hidden_layers": 26,
            "num_attention_heads": 8,
            "num_key_value_heads": 4,
            "head_dim": 256,
            "max_position_embeddings": 131_072,
            "query_pre_attn_scalar": 256,
            "sliding_window": 4096,
        },
    }
)
_IMAGE_KEYS: Final = (
    *("vision_config", "vision_feature_layer", "vision_feature_select_strategy", "image_seq_length"),
    *("image_token_index", "image_token_id", "video_token_id", "vision_start_token_id", "vision_token_id"),
    *("vision_end_token_id", "boi_token_index", "eoi_token_index", "mm_tokens_per_image", "ignore_index"),
    *("multimodal_projector_bias", "projector_hidden_act", "spatial_merge_size", "video_token_index"),
)
_WHOLE_KEYS: Final = (  # of the whole model, which change nothing or are read elsewhere
    *("architectures", "model_type", "text_config", "transformers_version", "torch_dtype", "dtype"),
    *("initializer_range", "tie_word_embeddings", "vocab_size", "bos_token_id", "eos_token_id"),
    *("pad_token_id", "use_cache", "_name_or_path", "hidden_size", "unsloth_fixed", "unsloth_version"),
)
_IMAGE_TENSORS: Final = (
    *("vision_tower.", "vision_model.", "visual.", "multi_modal_projector."),
    *("model.vision_tower.", "model.visual.", "model.multi_modal_projector."),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextPart:
    """`config` is what the text part alone would say. `tied` None: the head is the embedding if the file has
    no other, since both levels may say something of it, and they differ in published files."""

    config: Mapping[str, Any]
    tied: bool | None


def is_multimodal(config: Mapping[str, Any]) -> bool:
    """Whether the text of this model is a part of it."""
    named = config.get("architectures")
    return isinstance(named, list) and len(named) == 1 and named[0] in tuple(WRAPPERS)


def text_part(config: Mapping[str, Any]) -> TextPart:
    """The text part of a model that `is_multimodal`. ModelFileError for one of a family that does not run."""
    whole, text = config["architectures"][0], config.get("text_config")
    if text is None:
        text = {key: value for key, value in config.items() if key not in _IMAGE_KEYS}
    elif not isinstance(text, dict):
        raise ModelFileError(f"{_FILE}: text_config is {reprlib.repr(text)}; expected an object")
    else:
        _check_whole(config)
    kind = text.get("model_type")
    architecture = WRAPPERS[whole].get(kind) if isinstance(kind, str) else None
    if architecture is None:
        raise ModelFileError(
            f"{_FILE}: the text part of {whole} is {reprlib.repr(kind)}, which this engine does not run; it "
            f"runs {', '.join(WRAPPERS[whole])} there"
        )
    merged = {**_DEFAULTS.get(str(kind), {}), **text, "architectures": [architecture]}
    for key in ("rope_scaling", "rope_parameters"):
        merged[key] = _flat_rope(merged.get(key))
    said = {values.get("tie_word_embeddings") for values in (config, text)} - {None}
    tied = merged.pop("tie_word_embeddings", None) if len(said) == 1 else None
    return TextPart(config=merged, tied=None if tied is None else bool(tied))


def text_name(name: str) -> str | None:
    """What the tensor `name` is called where the text stands alone; None for one of images."""
    if name.startswith(_IMAGE_TENSORS):
        return None
    for prefix, alone in (("language_model.", ""), ("model.language_model.", "model.")):
        if name.startswith(prefix):
            return alone + name.removeprefix(prefix)
    return name


def _check_whole(config: Mapping[str, Any]) -> None:
    """Refuse a key beside `text_config` that nobody reads: quantised weights, for one."""
    given = {f"{_FILE}.{key}": value for key, value in config.items() if value is not None}
    keys = Hyperparameters(given, architecture=_FILE)
    keys.ignore(*_WHOLE_KEYS, *_IMAGE_KEYS)
    keys.finish()


def _flat_rope(scaling: Any) -> Any:
    """Without the sections of three dimensions."""
    if not isinstance(scaling, dict) or "mrope_section" not in scaling:
        return scaling
    kept = {k: v for k, v in scaling.items() if k not in ("mrope_section", "mrope_interleaved")}
    for key in ("type", "rope_type"):
        if kept.get(key) == "mrope":
            kept[key] = "default"
    return kept
