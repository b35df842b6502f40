"""Tokenizers of `transformers` for the vocabularies it can build offline: the oracle of tests and goldens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FROM_FILE = ("gpt-2", "llama-spm", "phi-3")  # its GGUF reader ignores `pre`, so the others would differ
FROM_LISTS = ("bert-bge", "gpt-neox", "mpt")

_CONTROL, _USER_DEFINED = 3, 4


def reference_encode(name: str, metadata: Mapping[str, Any], path: Path) -> Callable[[str], list[int]]:
    """What `transformers` makes of a text, special tokens not added."""
    import transformers

    if name in FROM_FILE:
        tokenizer = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    elif name == "bert-bge":
        pairs = zip(metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"], strict=True)
        vocabulary = {_bert_spelling(text, kind): i for i, (text, kind) in enumerate(pairs)}
        tokenizer = transformers.BertTokenizer(vocab=vocabulary, do_lower_case=True)
    else:
        tokenizer = _neox(metadata)
    return lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _bert_spelling(text: str, kind: int) -> str:
    if kind == _CONTROL:
        return text
    return text[1:] if text.startswith("▁") else "##" + text


def _neox(metadata: Mapping[str, Any]) -> Any:
    import transformers

    texts = metadata["tokenizer.ggml.tokens"]
    tokenizer = transformers.GPTNeoXTokenizer(
        vocab={text: i for i, text in enumerate(texts)},
        merges=[tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]],
    )
    types = metadata["tokenizer.ggml.token_type"]
    added = [text for text, kind in zip(texts, types, strict=True) if kind == _USER_DEFINED]
    tokenizer.add_tokens([transformers.AddedToken(text, normalized=False) for text in added])
    return tokenizer
