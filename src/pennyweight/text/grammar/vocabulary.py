"""A model's tokens as llguidance takes them: bytes, control tokens, end tokens, and a way to encode text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llguidance import LLTokenizer

    from pennyweight.text.tokenizer import Tokenizer


def grammar_tokenizer(tokenizer: Tokenizer, vocab_size: int) -> LLTokenizer:
    """Takes 0.1 s for 50,000 tokens and 1 s for 262,144. The library keeps the interpreter, so in two calls.

    `vocab_size` is the model's: logits may outnumber the tokens of the file, and the rest is never allowed.
    """
    from llguidance import LLTokenizer

    ends = sorted(tokenizer.end_token_ids)
    plain = LLTokenizer(_Vocabulary(tokenizer, vocab_size), eos_token=ends, slices=[])  # type: ignore[arg-type]
    return plain.with_slices(LLTokenizer.general_slices())


class _Vocabulary:
    """The attributes llguidance reads off a tokenizer object."""

    is_tokenizer_wrapper = True

    def __init__(self, tokenizer: Tokenizer, vocab_size: int) -> None:
        size = tokenizer.vocab_size
        self._tokenizer = tokenizer
        self.eos_token_id = tokenizer.eos_token_id
        if self.eos_token_id is None:
            self.eos_token_id = min(tokenizer.end_token_ids)
        self.bos_token_id = tokenizer.bos_token_id
        self.tokens = [tokenizer.token_bytes(token) for token in range(size)]
        self.tokens += [b""] * (vocab_size - size)
        self.special_token_ids = [token for token in range(size) if tokenizer.is_control(token)]

    def __call__(self, text: str) -> list[int]:
        """The canonical tokens of forced text: those the model saw such text in."""
        return self._tokenizer.encode_continuation(text)
