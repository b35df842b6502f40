"""Following a grammar without a model: fixed texts, and random walks under the masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from pennyweight.text.grammar.mask import GrammarMask
    from pennyweight.text.tokenizer import Tokenizer


def allowed_tokens(mask: bytes) -> list[int]:
    return [8 * index + bit for index, byte in enumerate(mask) if byte for bit in range(8) if byte >> bit & 1]


def reaches(grammar: GrammarMask, tokenizer: Tokenizer, text: str) -> bool:
    """Whether `text` can be an answer, in the tokens of its canonical encoding."""
    grammar = grammar.fork()
    for token in tokenizer.encode_continuation(text):
        if not grammar.mask()[token // 8] >> token % 8 & 1:
            return False
        grammar.accept(token)
    return grammar.complete


def random_answer(
    grammar: GrammarMask, tokenizer: Tokenizer, rng: random.Random, *, max_tokens: int, end: float = 0.5
) -> str | None:
    """The text of uniformly drawn allowed tokens; it ends with probability `end` where it may.

    None: too long."""
    grammar, tokens = grammar.fork(), list[int]()
    while len(tokens) < max_tokens:
        mask = grammar.mask()
        ends = [token for token in tokenizer.end_token_ids if mask[token // 8] >> token % 8 & 1]
        going_on = [token for token in allowed_tokens(mask) if token not in tokenizer.end_token_ids]
        if ends and (not going_on or rng.random() < end):
            return b"".join(map(tokenizer.token_bytes, tokens)).decode()
        tokens.append(rng.choice(going_on))
        grammar.accept(tokens[-1])
    return None
