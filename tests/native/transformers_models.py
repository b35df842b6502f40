"""The same decoder as a `transformers` model in float32, from a spec and dequantised tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.native.reference_blocks import Weights, dequantise

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pennyweight.models.spec import ModelSpec

_PARTS = {
    "attention_norm": "input_layernorm",
    "query": "self_attn.q_proj",
    "key": "self_attn.k_proj",
    "value": "self_attn.v_proj",
    "output": "self_attn.o_proj",
    "query_norm": "self_attn.q_norm",
    "key_norm": "self_attn.k_norm",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}
_LLAMA_NORMS = {"feed_forward_norm": "post_attention_layernorm"}
_GEMMA_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "feed_forward_norm": "pre_feedforward_layernorm",
    "post_feed_forward_norm": "post_feedforward_layernorm",
}


class TransformersDecoder:
    """Logits of a token list, computed by PyTorch."""

    def __init__(self, spec: ModelSpec, tensors: Mapping[str, Weights | np.ndarray]) -> None:
        torch = pytest.importorskip("torch", reason="torch is a development dependency")
        pytest.importorskip("transformers", reason="transformers is a development dependency")
        self.model = _gemma3(spec) if spec.architecture == "gemma3" else _llama(spec)
        self.model.eval()
        state = {name: torch.from_numpy(array) for name, array in _state(spec, tensors).items()}
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        assert not unexpected
        assert set(missing) <= {"lm_head.weight"}
        self.model.tie_weights()

    def logits(self, tokens: Sequence[int]) -> np.ndarray:
        """Float32 `[T, V]`."""
        import torch

        with torch.inference_mode():
            output = self.model(torch.tensor([list(tokens)]))
        return output.logits[0].numpy()


def _state(spec: ModelSpec, tensors: Mapping[str, Weights | np.ndarray]) -> dict[str, np.ndarray]:
    # Gemma's norms multiply by 1 + weight; model files hold the sum.
    shift = np.float32(spec.architecture == "gemma3")
    parts = _PARTS | (_GEMMA_NORMS if spec.post_norms else _LLAMA_NORMS)
    names = {"embedding": "model.embed_tokens", "final_norm": "model.norm", "head": "lm_head"}
    for index in range(spec.num_layers):
        names |= {f"layers.{index}.{part}": f"model.layers.{index}.{hf}" for part, hf in parts.items()}
    return {
        names[name] + ".weight": dequantise(tensor) if isinstance(tensor, Weights) else tensor - shift
        for name, tensor in tensors.items()
    }


def _shared(spec: ModelSpec) -> dict[str, Any]:
    return {
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.d_model,
        "intermediate_size": spec.d_ff,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_kv_heads,
        "head_dim": spec.head_dim,
        "max_position_embeddings": spec.context_length,
        "rms_norm_eps": spec.norm_eps,
        "tie_word_embeddings": True,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        "attn_implementation": "eager",
    }


def _rope(spec: ModelSpec, index: int) -> dict[str, Any]:
    """The base of unscaled frequencies: entry `i` is `base ** (-i / half)`."""
    values = spec.ropes[index].inverse_frequencies
    return {"rope_type": "default", "rope_theta": values[1] ** -len(values)}


def _llama(spec: ModelSpec) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_shared(spec), rope_parameters=_rope(spec, 0)))


def _gemma3(spec: ModelSpec) -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    kinds = ["full_attention" if layer.window is None else "sliding_attention" for layer in spec.layers]
    ropes = {kind: _rope(spec, layer.rope) for kind, layer in zip(kinds, spec.layers, strict=True)}
    config = Gemma3TextConfig(
        **_shared(spec),
        rope_parameters=ropes,
        layer_types=kinds,
        sliding_window=next(layer.window for layer in spec.layers if layer.window is not None),
        query_pre_attn_scalar=round(spec.attention_scale**-2),
    )
    return Gemma3ForCausalLM(config)
