"""The tiny models of `tests.models.tiny` as Hugging Face folders: same weights, tokenizer and template."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pennyweight.models.role_finder import rotary_row_map
from tests.models.tiny import TinyShape, tiny_metadata, tiny_tensors
from tests.models.tiny_encoder import safetensors_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.models.gguf_writer import RawTensor

    Stored = tuple[str, tuple[int, ...], bytes]

_ARCHITECTURES = {"llama": "LlamaForCausalLM", "gemma3": "Gemma3ForCausalLM"}
_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_NORMS = {
    "llama": {"ffn_norm": "post_attention_layernorm"},
    "gemma3": {
        "post_attention_norm": "post_attention_layernorm",
        "ffn_norm": "pre_feedforward_layernorm",
        "post_ffw_norm": "post_feedforward_layernorm",
    },
}
_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}


def folder_tensors(shape: TinyShape) -> dict[str, Stored]:
    """By the names of `transformers`, rows as trained, Gemma's norms without their 1; only float kinds."""
    stored: dict[str, Stored] = {}
    for name, tensor in stable_tensors(shape).items():
        data, kind = tensor.data, tensor.type
        if shape.architecture == "gemma3" and name.endswith("norm.weight"):
            data = (np.frombuffer(data, np.float32) - np.float32(1)).tobytes()
        if shape.architecture == "llama" and ("attn_q." in name or "attn_k." in name):
            size = shape.head_dim
            rows = rotary_row_map(tensor.shape[0] // size, size, size, "interleaved") or ()
            width = len(data) // len(rows)
            data = b"".join(data[row * width : (row + 1) * width] for row in rows)
        stored[_name(name, shape.architecture)] = (kind, tensor.shape, data)
    return stored


def stable_tensors(shape: TinyShape) -> dict[str, RawTensor]:
    """The tensors of a tiny GGUF file, norms so that taking 1 away and adding it again keeps every bit."""
    tensors = tiny_tensors(shape)
    for name, tensor in tensors.items():
        if name.endswith("norm.weight"):
            stored = np.frombuffer(tensor.data, np.float32) - np.float32(1)
            tensors[name] = replace(tensor, data=(stored + np.float32(1)).tobytes())
    return tensors


def folder_config(shape: TinyShape, **changes: Any) -> dict[str, Any]:
    """A `config.json` as `transformers` writes it."""
    config: dict[str, Any] = {
        "architectures": [_ARCHITECTURES[shape.architecture]],
        "model_type": shape.architecture,
        "vocab_size": len(tiny_metadata(shape)["tokenizer.ggml.tokens"]),
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.num_layers,
        "num_attention_heads": shape.num_heads,
        "num_key_value_heads": shape.num_kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context_length,
        "rms_norm_eps": 1e-5,
        "rope_theta": shape.rope_base,
        "rope_scaling": None,
        "tie_word_embeddings": shape.tied,
        "hidden_act": "silu",
        "torch_dtype": "float32",
        "use_cache": True,
        "eos_token_id": 2,
    }
    if shape.architecture == "gemma3":
        config |= {
            "hidden_act": "gelu_pytorch_tanh",
            "eos_token_id": 1,
            "sliding_window": shape.window,
            "sliding_window_pattern": 6,
            "rope_local_base_freq": 10_000.0,
            "query_pre_attn_scalar": shape.head_dim,
        }
    return config | changes


def write_folder(
    folder: Path, shape: TinyShape, *, shards: int = 1, files: Mapping[str, Any] | None = None, **changes: Any
) -> Path:
    """A whole folder; `files` are written as JSON, and `changes` are keys of `config.json`.

    Returns the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_weights(folder, folder_tensors(shape), shards=shards)
    written = {
        "config.json": folder_config(shape, **changes),
        **(byte_level_files() if shape.architecture == "llama" else {"tokenizer.json": {}}),
        **(files or {}),
    }
    for name, value in written.items():
        if isinstance(value, (bytes, str)):
            (folder / name).write_bytes(value if isinstance(value, bytes) else value.encode())
        elif value is not None:
            (folder / name).write_text(json.dumps(value))
    return folder


def write_weights(folder: Path, tensors: Mapping[str, Stored], *, shards: int = 1) -> None:
    """One file, or several with an index."""
    if shards == 1:
        (folder / "model.safetensors").write_bytes(safetensors_bytes(dict(tensors)))
        return
    names, places = list(tensors), {}
    for number in range(shards):
        own = names[number::shards]
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        (folder / file).write_bytes(safetensors_bytes({name: tensors[name] for name in own}))
        places |= dict.fromkeys(own, file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def byte_level_files() -> dict[str, Any]:
    """The tokenizer of tiny llamas, as `transformers` saves one."""
    metadata = tiny_metadata(TinyShape())
    tokens, merges = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.merges"]
    control = [
        {"id": token, "content": tokens[token], "special": True, "normalized": False} for token in range(3)
    ]
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {
        "tokenizer.json": {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": [{**token, **flags} for token in control],
            "normalizer": None,
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "Digits", "individual_digits": True}, byte_level],
            },
            "post_processor": byte_level,
            "decoder": byte_level,
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "ignore_merges": False,
                "vocab": {text: token for token, text in enumerate(tokens) if token > 2},
                "merges": [merge.split(" ") for merge in merges],
            },
        },
        "tokenizer_config.json": {
            "bos_token": "<|im_start|>",
            "eos_token": {"__type": "AddedToken", "content": "<|im_end|>", "special": True},
            "unk_token": "<|endoftext|>",
            "pad_token": "<|im_end|>",
            "chat_template": metadata["tokenizer.chat_template"],
            "tokenizer_class": "PreTrainedTokenizerFast",
        },
    }


def _name(name: str, architecture: str) -> str:
    if name in _WHOLE:
        return _WHOLE[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{(_NAMES | _NORMS[architecture])[part]}.{kind}"
