"""The model that is tuned: `transformers`' class of its family, holding the weights that will serve it.

Shapes and constants come from our `ModelSpec`, weights from the file as the engine packs them, dequantised,
in the row order of `transformers`. So every family and format the engine serves is tuned from the file it is
served from, and no other reader of GGUF has to agree with ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

import torch
import transformers

from pennyweight.errors import ModelFileError
from pennyweight.models.local import model_name
from pennyweight.models.outline import described
from pennyweight.models.source import open_source
from pennyweight.tune.attention import ATTENTION, Visibility
from pennyweight.tune.base_weights import state_of
from pennyweight.tune.norm import RMSNorm
from pennyweight.tune.rotary import Rotary

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pennyweight.models.rounded import WeightType
    from pennyweight.models.spec import ModelSpec
    from pennyweight.tune.packing import Pack

_CLASSES: Final = MappingProxyType(
    {
        "llama": "Llama",
        "qwen2": "Qwen2",
        "qwen3": "Qwen3",
        "phi3": "Phi3",
        "gemma2": "Gemma2",
        "gemma3": "Gemma3",
        "minicpm": "Granite",  # whose decoder does what MiniCPM's does
        "smollm3": "SmolLM3",
        "olmo2": "Olmo2",
    }
)
"""How the classes of each architecture begin in `transformers`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """`decoder` computes final-norm states, `head` `[V, D]` makes logits of them; all frozen.

    `network` is the whole `transformers` model. Its forward pass takes `segments` (see `attention`).
    """

    network: Any
    spec: ModelSpec
    metadata: Mapping[str, Any]
    name: str
    content_hash: str

    @property
    def decoder(self) -> Any:
        return self.network.model

    @property
    def head(self) -> Any:
        return self.network.lm_head.weight

    def states(self, pack: Pack) -> Any:
        """`[L, D]`, what `head` makes the logits of: behind the tokens that come before the pack's labels."""
        output = self.decoder(
            input_ids=pack.tokens,
            position_ids=pack.positions,
            segments=pack.segments,
            spec=self.spec,
            visibility=Visibility(),
        )
        return output.last_hidden_state[0][pack.rows]


def load_base(
    path: Path, *, context: int | None, weights: WeightType | None, dtype: torch.dtype
) -> BaseModel:
    """The frozen model of a GGUF file or folder. ModelFileError for one that cannot be tuned."""
    with open_source(path, weights=weights) as source:
        spec, roles = described(source, context)
        network = _empty(spec)
        state, content_hash = state_of(source, spec, roles, dtype=dtype, biases=_bias_names(network))
        network.load_state_dict(state, strict=False, assign=True)
        metadata = dict(source.metadata)
    if spec.embedding_scale != 1.0 and hasattr(network.model.embed_tokens, "embed_scale"):
        network.model.embed_tokens.embed_scale = torch.tensor(spec.embedding_scale)
    network.model.rotary_emb = Rotary(spec)
    if roles.head is None:
        network.lm_head.weight = network.model.embed_tokens.weight
    left = [name for name, value in _tensors(network) if value.is_meta]
    assert not left, f"no weights for {left}"
    network.requires_grad_(False)
    network.train()
    return BaseModel(
        network=network, spec=spec, metadata=metadata, name=model_name(path), content_hash=content_hash
    )


def _tensors(network: Any) -> list[tuple[str, Any]]:
    return [*network.named_parameters(), *network.named_buffers()]


def _bias_names(network: Any) -> list[str]:
    return [name for name, _ in network.named_parameters() if name.endswith(".bias")]


def _empty(spec: ModelSpec) -> Any:
    """The network without memory for weights."""
    start = _CLASSES.get(spec.architecture)
    if start is None or spec.experts is not None:
        what = "a mixture of experts" if spec.experts is not None else f"architecture {spec.architecture!r}"
        raise ModelFileError(
            f"a model of {what} cannot be tuned by this version; it tunes dense {', '.join(_CLASSES)}"
        )
    text = "Text" if start == "Gemma3" else ""
    config = getattr(transformers, f"{start}{text}Config")(**_settings(spec))
    config._attn_implementation = ATTENTION
    with torch.device("meta"):
        network = getattr(transformers, f"{start}ForCausalLM")(config)
        for module in list(network.modules()):
            for name, norm in list(module.named_children()):
                if type(norm).__name__.endswith("RMSNorm"):
                    setattr(module, name, RMSNorm(norm.weight.shape[0], spec.norm_eps))
    return network


def _settings(spec: ModelSpec) -> dict[str, Any]:
    """What the class needs to have our shapes; norms, rotation, attention and logits are ours."""
    kinds = ["full_attention" if layer.window is None else "sliding_attention" for layer in spec.layers]
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10_000.0}
    settings: dict[str, Any] = {
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.d_model,
        "intermediate_size": spec.d_ff,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_kv_heads,
        "head_dim": spec.head_dim,
        "max_position_embeddings": spec.context_length,
        "rms_norm_eps": spec.norm_eps,
        "hidden_act": "silu" if spec.activation == "silu" else "gelu_pytorch_tanh",
        "hidden_activation": "silu" if spec.activation == "silu" else "gelu_pytorch_tanh",
        "tie_word_embeddings": False,  # tied by hand, so that no initialisation is run
        "attention_bias": spec.biases,
        "rope_parameters": rope,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "use_cache": False,
    }
    if spec.architecture in ("gemma2", "gemma3"):
        settings["layer_types"] = kinds
    if spec.architecture == "gemma3":
        settings["rope_parameters"] = {"sliding_attention": rope, "full_attention": rope}
    if spec.architecture == "minicpm":
        settings |= {"embedding_multiplier": spec.embedding_scale, "residual_multiplier": spec.residual_scale}
    if spec.architecture == "smollm3":
        settings["no_rope_layers"] = [int(layer.rope is not None) for layer in spec.layers]
        settings["use_sliding_window"] = False
    return settings
