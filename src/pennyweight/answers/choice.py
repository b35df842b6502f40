"""One choice's tokens become text: split characters and possible stop strings are held back until decided.

End tokens never come here: the engine keeps them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.answers.events import TextDelta, TokenDetail
from pennyweight.text.detokenizer import Detokenizer
from pennyweight.text.stop import StopStrings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.core import TokenEvent, TokenLogprob
    from pennyweight.text.tokenizer import Tokenizer


class ChoiceText:
    """Tokens go in by `push`, what is final comes out of `take`. After `stopped` nothing more comes."""

    def __init__(
        self, index: int, *, tokenizer: Tokenizer, prompt_tail: tuple[int, ...], stop: tuple[str, ...]
    ) -> None:
        self.index = index
        self.stopped = False  # by a stop string
        self.num_tokens = 0  # up to and including the one that completed a stop string
        self._tokenizer = tokenizer
        self._detokenizer = Detokenizer(tokenizer, prompt_tail=prompt_tail)
        self._stop = StopStrings(stop)
        self._text = ""  # final, not taken yet
        self._details: list[TokenDetail] = []  # final, not taken yet
        self._held: list[tuple[int, TokenDetail]] = []  # with the length of text at which each is final
        self._produced = 0  # characters that left the detokenizer
        self._emitted = 0  # characters that left the stop strings

    def push(self, event: TokenEvent) -> bool:
        """Take one more token; True if it completed a stop string, and so the text."""
        if self.stopped:
            return False
        self.num_tokens += 1
        text = self._detokenizer.push(event.token)
        self._produced += len(text)
        if event.logprob is not None:
            detail = token_detail(self._tokenizer, event.token, event.logprob, event.top)
            self._held.append((self._produced, detail))
        if text:
            self._decide(text)
        return self.stopped

    def end(self) -> None:
        """The engine has ended the choice: what is held back is final now."""
        if self.stopped:
            return
        rest = self._detokenizer.flush()
        self._produced += len(rest)
        self._decide(rest)
        if not self.stopped:
            self._emit(self._stop.flush())

    def take(self) -> TextDelta | None:
        """What has become final since the last call."""
        if not self._text and not self._details:
            return None
        delta = TextDelta(self.index, self._text, tuple(self._details))
        self._text = ""
        self._details = []
        return delta

    def _decide(self, text: str) -> None:
        safe, stop = self._stop.push(text)
        self.stopped = stop is not None
        self._emit(safe)

    def _emit(self, text: str) -> None:
        self._text += text
        self._emitted += len(text)
        while self._held and self._held[0][0] <= self._emitted:
            self._details.append(self._held.pop(0)[1])


def token_detail(
    tokenizer: Tokenizer, token: int, logprob: float, top: Iterable[TokenLogprob]
) -> TokenDetail:
    """The engine's ids as texts."""
    others = tuple(TokenDetail(tokenizer.token_bytes(item.token), item.logprob) for item in top)
    return TokenDetail(tokenizer.token_bytes(token), logprob, others)
