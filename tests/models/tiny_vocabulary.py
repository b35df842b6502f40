"""Tokenizer metadata for tiny models: a byte-level BPE and a SentencePiece-style vocabulary, both complete.

Every byte has a token, so any text can be encoded; a few merges make sure that merging happens.
"""

from __future__ import annotations

from typing import Any

from tests.models.gguf_writer import Typed

CHATML_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n"
    "{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6  # GGUF token types
_MERGES = ("h e", "Ġ t", "Ġt he", "i n", "l l", "e r")
_PIECES = ("▁", "▁t", "▁the", "he", "in", "ll", "er", *"etaoinshrdlucmfwypvbgkqjxzETAOINSH.,!?0123456789")


def byte_characters() -> list[str]:
    """The character that stands for each byte in byte-level BPE vocabularies (Radford et al. 2019)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(shifted)) for byte in range(256)]


def bpe_vocabulary() -> dict[str, Any]:
    """Metadata of a byte-level BPE tokenizer with 3 control tokens, 256 bytes and 6 merges: 265 tokens."""
    control = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokens = [*control, *byte_characters(), *(merge.replace(" ", "") for merge in _MERGES)]
    types = [_CONTROL] * len(control) + [_NORMAL] * (len(tokens) - len(control))
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": Typed("i32", types),
        "tokenizer.ggml.merges": list(_MERGES),
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 2,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": CHATML_TEMPLATE,
    }


def spm_vocabulary() -> dict[str, Any]:
    """Metadata of a SentencePiece-style tokenizer with scores, byte tokens and 6 control tokens."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    tokens = [*special, *byte_tokens, *_PIECES]
    special_types = [_UNKNOWN if token == "<unk>" else _CONTROL for token in special]
    types = special_types + [_BYTE] * 256 + [_NORMAL] * len(_PIECES)
    scores = [-1000.0] * len(special) + [0.0] * 256 + [-float(rank) for rank in range(len(_PIECES))]
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": Typed("f32", scores),
        "tokenizer.ggml.token_type": Typed("i32", types),
        "tokenizer.ggml.bos_token_id": 2,
        "tokenizer.ggml.eos_token_id": 1,
        "tokenizer.ggml.unknown_token_id": 3,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.chat_template": GEMMA_TEMPLATE,
    }
