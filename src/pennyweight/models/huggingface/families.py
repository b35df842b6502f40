"""The families a `config.json` may name: each config translated to the metadata of a GGUF file.

Every key is read, or listed as one that changes nothing, or refused by name. Where GGUF has no key for what a
config says (which layers rotate, how scores are scaled), the architecture has it built in, and a config that
says otherwise is refused.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, replace
from math import sqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.huggingface.multimodal import WRAPPERS, is_multimodal, text_name, text_part
from pennyweight.models.huggingface.rope import FolderRope, read_layer_ropes, read_rope
from pennyweight.models.hyperparameters import Hyperparameters
from pennyweight.models.rope import float32

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pennyweight.models.huggingface.names import Norms
    from pennyweight.models.role_finder import Rotary

_FILE: Final = "config.json"
LEFT_OUT: Final = "pennyweight.left_out"
"""Key of what a model was made to read besides text and does not read here."""
_INERT: Final = (
    *("architectures", "model_type", "transformers_version", "torch_dtype", "dtype", "auto_map"),
    *("_name_or_path", "use_cache", "cache_implementation", "return_dict", "tokenizer_class"),
    *("output_attentions", "output_hidden_states", "_attn_implementation", "attn_implementation"),
    # of training
    *("initializer_range", "attention_dropout", "hidden_dropout", "embd_pdrop", "resid_pdrop"),
    *("output_router_logits", "router_aux_loss_coef", "router_jitter_noise", "unsloth_version"),
    *("unsloth_fixed", "max_window_layers", "transformers.js_config"),
    # biases are in the file or they are not
    *("attention_bias", "mlp_bias"),
    # read with the tokenizer
    *("bos_token_id", "eos_token_id", "pad_token_id"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderModel:
    """What a `config.json` says, in GGUF's terms. `tensors` are factors that GGUF keeps as vectors.

    `tied` None: if there is no other head. `name_of` is the usual name of a stored tensor, None for one that
    plays no part, `rotary_rows` the order of the rows of Llama's queries and keys.
    """

    metadata: Mapping[str, Any]
    tensors: Mapping[str, Sequence[float]]
    norms: Norms
    norm_offset: float
    tied: bool | None
    name_of: Callable[[str], str | None] = str
    rotary_rows: Rotary = "halves"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """`tied` is what a config means that does not say whether the head is the embedding."""

    architecture: str
    own_keys: Callable[[Hyperparameters, dict[str, Any]], None]
    norms: Norms = "pre"
    norm_offset: float = 0.0
    tied: bool = False
    base: float = 10_000.0
    activations: tuple[str, ...] = ("silu",)


def translate(config: Mapping[str, Any]) -> FolderModel:
    """The model that `config` describes, of one of text and images the text's part.

    ModelFileError names what this engine does not compute.
    """
    if not is_multimodal(config):
        return _translate(config)
    part = text_part(config)
    model = _translate(part.config)
    metadata = {**model.metadata, LEFT_OUT: "images"}
    return replace(model, metadata=metadata, tied=part.tied, name_of=text_name)


def _translate(config: Mapping[str, Any]) -> FolderModel:
    family = _family(config)
    keys = Hyperparameters(
        {f"{_FILE}.{key}": value for key, value in config.items() if value is not None}, architecture=_FILE
    )
    keys.ignore(*_INERT)
    keys.only("pretraining_tp", 1)
    keys.only("rope_interleaved", False)
    for key in ("hidden_act", "hidden_activation"):
        keys.only(key, *family.activations)
    tied = keys.take("tie_word_embeddings")
    values = _sizes(keys)
    rope = _rope(family, keys, values)
    family.own_keys(keys, values)
    keys.finish()
    prefix = f"{family.architecture}."
    return FolderModel(
        metadata={
            "general.architecture": family.architecture,
            # as GGUF keeps numbers, so that both formats compute the same bits
            **{
                prefix + key: float32(value) if isinstance(value, float) else value
                for key, value in {**values, **rope.keys}.items()
            },
        },
        tensors=rope.tensors,
        norms=family.norms,
        norm_offset=family.norm_offset,
        tied=family.tied if tied is None else bool(tied),
    )


def _family(config: Mapping[str, Any]) -> _Family:
    named = config.get("architectures")
    if not isinstance(named, list) or len(named) != 1 or named[0] not in _FAMILIES:
        shown = named[0] if isinstance(named, list) and len(named) == 1 else named
        raise ModelFileError(
            f"{_FILE}: the architecture {reprlib.repr(shown)} is not supported; "
            f"this engine runs {', '.join((*_FAMILIES, *WRAPPERS))}"
        )
    return _FAMILIES[named[0]]


def _sizes(keys: Hyperparameters) -> dict[str, Any]:
    d_model, num_heads = keys.integer("hidden_size"), keys.integer("num_attention_heads")
    head_dim = keys.integer("head_dim", default=max(d_model // num_heads, 1))
    return {
        "vocab_size": keys.integer("vocab_size"),
        "embedding_length": d_model,
        "block_count": keys.integer("num_hidden_layers"),
        "feed_forward_length": keys.integer("intermediate_size"),
        "attention.head_count": num_heads,
        "attention.head_count_kv": keys.integer("num_key_value_heads", default=num_heads),
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "attention.layer_norm_rms_epsilon": keys.number("rms_norm_eps", default=1e-6, low=1e-12, high=1.0),
    }


def _rope(family: _Family, keys: Hyperparameters, values: dict[str, Any]) -> FolderRope:
    """The rotation; its base and the context go into `values`."""
    context = keys.integer("max_position_embeddings")
    head_dim = values["attention.key_length"]
    if family.architecture == "gemma3":
        rope, values["rope.freq_base_swa"] = read_layer_ropes(
            keys, head_dim=head_dim, context=context, local_base=10_000.0, global_base=1e6
        )
    else:
        rope = read_rope(keys, head_dim=head_dim, context=context, default_base=family.base)
    values["context_length"] = int(context * rope.context_factor)
    values["rope.freq_base"] = rope.base
    values["rope.dimension_count"] = rope.rotary_dim
    return rope


# --- keys of one family or another --------------------------------------------------------------------------
def _no_more(_keys: Hyperparameters, _values: dict[str, Any]) -> None: ...


def _window(keys: Hyperparameters, values: dict[str, Any]) -> None:
    """One window for all layers."""
    window = keys.integer("sliding_window", default=0, low=0)
    if 0 < window < values["context_length"]:
        values["attention.sliding_window"] = window
    _layer_types(keys, ["sliding_attention" if window else "full_attention"] * values["block_count"])


def _no_window(keys: Hyperparameters, values: dict[str, Any]) -> None:
    """A window may be named as long as it is not used."""
    keys.only("use_sliding_window", False)
    keys.ignore("sliding_window")
    _layer_types(keys, ["full_attention"] * values["block_count"])


def _mixtral(keys: Hyperparameters, values: dict[str, Any]) -> None:
    _window(keys, values)
    values["expert_count"] = keys.integer("num_local_experts")
    values["expert_used_count"] = keys.integer("num_experts_per_tok", high=values["expert_count"])


def _qwen3moe(keys: Hyperparameters, values: dict[str, Any]) -> None:
    _no_window(keys, values)
    own, older = keys.take("num_local_experts"), keys.integer("num_experts", default=0, low=0)
    values["expert_count"] = older if own is None else own
    values["expert_used_count"] = keys.integer("num_experts_per_tok")
    values["expert_feed_forward_length"] = keys.integer("moe_intermediate_size")
    values["expert_weights_norm"] = keys.take("norm_topk_prob") is True
    keys.only("decoder_sparse_step", 1)
    keys.only("mlp_only_layers", [])


def _gemma2(keys: Hyperparameters, values: dict[str, Any]) -> None:
    values["attention.sliding_window"] = keys.integer("sliding_window", default=4096)
    kinds = [("sliding_attention", "full_attention")[index % 2] for index in range(values["block_count"])]
    _layer_types(keys, kinds)
    keys.only("use_bidirectional_attention", False)
    values["attn_logit_softcapping"] = keys.number("attn_logit_softcapping", low=1e-3, high=1e6)
    values["final_logit_softcapping"] = keys.number("final_logit_softcapping", low=1e-3, high=1e6)
    _score_scale(keys, values, deepest=46)


def _gemma3(keys: Hyperparameters, values: dict[str, Any]) -> None:
    values["attention.sliding_window"] = keys.integer("sliding_window")
    patterns = [keys.take(key) for key in ("sliding_window_pattern", "_sliding_window_pattern")]
    kinds = keys.take("layer_types")
    if kinds is None:
        period = next((pattern for pattern in patterns if pattern is not None), 6)
        if type(period) is not int or period < 1:
            raise keys.fail("sliding_window_pattern", period, "a whole number from 1")
        is_local = [(index + 1) % period != 0 for index in range(values["block_count"])]
    else:
        names = {"sliding_attention": True, "full_attention": False}
        if not isinstance(kinds, list) or not all(isinstance(k, str) and k in names for k in kinds):
            raise keys.fail("layer_types", kinds, "a list of sliding_attention and full_attention")
        is_local = [names[kind] for kind in kinds]
    values["attention.sliding_window_pattern"] = is_local
    keys.only("use_bidirectional_attention", False)
    keys.only("attn_logit_softcapping", 0.0)
    keys.only("final_logit_softcapping", 0.0)
    _score_scale(keys, values, deepest=62)


def _minicpm(keys: Hyperparameters, values: dict[str, Any]) -> None:
    """`scale_depth` is for the root of the depth, `dim_model_base` the width whose logits need no scale."""
    values["embedding_scale"] = keys.number("scale_emb", default=1.0, low=1e-6, high=1e6)
    depth = keys.number("scale_depth", default=1.0, low=1e-6, high=1e6)
    values["residual_scale"] = depth / sqrt(values["block_count"])
    base_width = keys.integer("dim_model_base", default=1)
    values["logit_scale"] = values["embedding_length"] / base_width
    keys.only("num_experts", 0)
    _no_window(keys, values)


def _smollm3(keys: Hyperparameters, values: dict[str, Any]) -> None:
    _no_window(keys, values)
    keys.only("no_rope_layer_interval", 4)
    keys.only("no_rope_layers", [int((index + 1) % 4 != 0) for index in range(values["block_count"])])


def _layer_types(keys: Hyperparameters, expected: list[str]) -> None:
    kinds = keys.take("layer_types")
    if kinds is not None and kinds != expected:
        raise keys.fail("layer_types", kinds, f"{reprlib.repr(expected)}, which is built in")


def _score_scale(keys: Hyperparameters, values: Mapping[str, Any], *, deepest: int) -> None:
    """Scores are divided by the root of a head's size, in the largest model of the width per head."""
    usual: float = values["attention.key_length"]
    if values["block_count"] == deepest:
        usual = values["embedding_length"] / values["attention.head_count"]
    keys.only("query_pre_attn_scalar", usual)


_FAMILIES: Final[Mapping[str, _Family]] = MappingProxyType(
    {
        "LlamaForCausalLM": _Family(architecture="llama", own_keys=_no_more),
        "MistralForCausalLM": _Family(architecture="llama", own_keys=_window),
        "MixtralForCausalLM": _Family(architecture="llama", own_keys=_mixtral, base=1e6),
        "Qwen2ForCausalLM": _Family(architecture="qwen2", own_keys=_no_window),
        "Qwen3ForCausalLM": _Family(architecture="qwen3", own_keys=_no_window),
        "Qwen3MoeForCausalLM": _Family(architecture="qwen3moe", own_keys=_qwen3moe),
        "Phi3ForCausalLM": _Family(architecture="phi3", own_keys=_window),
        "Gemma2ForCausalLM": _Family(
            architecture="gemma2",
            own_keys=_gemma2,
            norms="both",
            norm_offset=1.0,
            tied=True,
            activations=("gelu_pytorch_tanh",),
        ),
        "Gemma3ForCausalLM": _Family(
            architecture="gemma3",
            own_keys=_gemma3,
            norms="both",
            norm_offset=1.0,
            tied=True,
            activations=("gelu_pytorch_tanh",),
        ),
        "MiniCPMForCausalLM": _Family(architecture="minicpm", own_keys=_minicpm, tied=True),
        "SmolLM3ForCausalLM": _Family(architecture="smollm3", own_keys=_smollm3, tied=True, base=2e6),
        "Olmo2ForCausalLM": _Family(architecture="olmo2", own_keys=_no_more, norms="post"),
    }
)
