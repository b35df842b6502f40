"""Tokenizers of the families that run: how text is cut is known, every token that ends an answer ends it."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.text.pretokenizers import find_pretokenizer
from pennyweight.text.vocabulary import Vocabulary

CONTROL = 3  # of `tokenizer.ggml.token_type`


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("Llama 3", "llama-bpe"),
        ("Llama 3, converted early", "llama3"),
        ("Mistral NeMo", "tekken"),
        ("SmolLM", "smollm"),
        ("SmolLM3", "smaug-bpe"),
        ("Qwen 2, 2.5 and 3", "qwen2"),
        ("DeepSeek R1 on Qwen", "deepseek-r1-qwen"),
        ("Phi-4", "dbrx"),
        ("Phi-4-mini", "gpt-4o"),
        ("OLMo 2", "dbrx"),
    ],
)
def test_the_way_text_is_cut_is_known(family: str, name: str) -> None:
    assert find_pretokenizer(name, None).patterns, family


@pytest.mark.parametrize(
    ("family", "roles", "ends"),
    [
        ("Llama 3", {"eos": "<|eot_id|>"}, {"<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"}),
        ("Llama 3 base", {"eos": "<|end_of_text|>"}, {"<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"}),
        ("Mistral", {"eos": "</s>"}, {"</s>"}),
        ("Qwen", {"eos": "<|im_end|>"}, {"<|im_end|>", "<|endoftext|>"}),
        ("Phi-3", {"eos": "<|endoftext|>"}, {"<|endoftext|>", "<|end|>"}),
        ("Gemma", {"eos": "<eos>", "eot": "<end_of_turn>"}, {"<eos>", "<end_of_turn>"}),
        ("MiniCPM", {"eos": "</s>"}, {"</s>", "<|im_end|>"}),
        ("OLMo 2", {"eos": "<|endoftext|>"}, {"<|endoftext|>"}),
        ("named by roles alone", {"eos": "one", "eot": "two", "eom": "three"}, {"one", "two", "three"}),
    ],
)
def test_every_end_of_an_answer_is_one(family: str, roles: dict[str, str], ends: set[str]) -> None:
    texts = ["plain", "<|user|>", "<|im_start|>", *sorted(ends)]
    metadata: dict[str, Any] = {
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": [1, *[CONTROL] * (len(texts) - 1)],
        **{f"tokenizer.ggml.{role}_token_id": texts.index(text) for role, text in roles.items()},
    }
    vocabulary = Vocabulary.from_metadata(metadata)
    assert {texts[token] for token in vocabulary.ends} == ends, family
