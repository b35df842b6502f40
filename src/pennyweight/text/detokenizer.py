"""Tokens become text one by one, and only text that later tokens cannot change.

The pushes and the flush of an answer together equal `Tokenizer.decode` of its tokens.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.text.tokenizer import Tokenizer


class Detokenizer:
    """The text of one answer as it grows.

    `prompt_tail` are the prompt's last tokens (one is enough): a SentencePiece word that follows ordinary
    text keeps its leading space; after a special token, or with nothing before it, it loses it. The control
    tokens in `shown` (those around tool calls) become their text, all others nothing.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        prompt_tail: Sequence[int] = (),
        shown: frozenset[int] = frozenset(),
    ) -> None:
        self._tokenizer = tokenizer
        self._shown = shown
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._strip = self._strips = tokenizer.strips_space
        for token in prompt_tail:
            self._strip = tokenizer.strips_after(token, strip=self._strip)

    def push(self, token: int) -> str:
        """The text that is certain now. Bytes of an unfinished character are held back."""
        data = self._tokenizer.piece(token, strip=self._strip, skip_special=token not in self._shown)
        if self._strips:
            self._strip = self._tokenizer.strips_after(token, strip=self._strip)
        return self._utf8.decode(data)

    def flush(self) -> str:
        """What was held back, as U+FFFD: nothing can complete it any more."""
        return self._utf8.decode(b"", final=True)
