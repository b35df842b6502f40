"""The four parallel lists in which plain completions tell log-probabilities.

`text_offset` counts characters of the text that is returned. A token that is no whole UTF-8 text is written
`bytes:\\xe2\\x82`, as OpenAI writes it, so that different tokens stay different keys.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.answers.completion_prompts import EncodedPrompt
    from pennyweight.answers.events import PromptToken, TokenDetail
    from pennyweight.text.tokenizer import Tokenizer


@dataclass(slots=True, kw_only=True)
class Scores:
    """One entry per token. The first of an echoed prompt has no log-probability: nothing predicts it."""

    tokens: list[str] = field(default_factory=list)
    token_logprobs: list[float | None] = field(default_factory=list)
    top_logprobs: list[dict[str, float] | None] = field(default_factory=list)
    text_offset: list[int] = field(default_factory=list)

    def extend(self, other: Scores) -> None:
        self.tokens += other.tokens
        self.token_logprobs += other.token_logprobs
        self.top_logprobs += other.top_logprobs
        self.text_offset += other.text_offset

    def payload(self) -> dict[str, Any]:
        return {
            "tokens": self.tokens,
            "token_logprobs": self.token_logprobs,
            "top_logprobs": self.top_logprobs,
            "text_offset": self.text_offset,
        }


class TokenPlaces:
    """Where in the text of one choice each of its tokens begins."""

    def __init__(self, tokenizer: Tokenizer, prompt: EncodedPrompt) -> None:
        self._tokenizer = tokenizer
        self._prompt = prompt
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._offset = 0
        self._strip = self._strips_after_prompt()

    def prompt(self, tokens: Iterable[PromptToken]) -> Scores:
        """The echoed prompt; called first or never."""
        scores = Scores()
        strip = self._tokenizer.strips_space
        for token in tokens:
            skip = not self._prompt.shows_control
            shown = self._tokenizer.piece(token.token, strip=strip, skip_special=skip)
            strip = self._tokenizer.strips_after(token.token, strip=strip)
            self._add(scores, token, shown)
        self._offset = len(self._prompt.text)
        self._utf8.reset()
        return scores

    def generated(self, details: Iterable[TokenDetail]) -> Scores:
        """What the model wrote, in order."""
        scores = Scores()
        for detail in details:
            shown = detail.text_bytes
            self._add(scores, detail, shown[1:] if self._strip and shown[:1] == b" " else shown)
            self._strip = False
        return scores

    def _add(self, scores: Scores, token: PromptToken | TokenDetail, shown: bytes) -> None:
        name = token_name(token.text_bytes)
        scores.tokens.append(name)
        scores.token_logprobs.append(token.logprob)
        scores.top_logprobs.append(None if token.logprob is None else _top(token, name, token.logprob))
        scores.text_offset.append(self._offset)
        self._offset += len(self._utf8.decode(shown))

    def _strips_after_prompt(self) -> bool:
        last = self._prompt.tokens[-1]
        return self._tokenizer.strips_after(last, strip=self._tokenizer.strips_space)


def _top(token: PromptToken | TokenDetail, name: str, logprob: float) -> dict[str, float]:
    """The likeliest, falling; the token itself is always among them."""
    top: dict[str, float] = {}
    for other in token.top:
        top.setdefault(token_name(other.text_bytes), other.logprob)
    top.setdefault(name, logprob)
    return top


def token_name(data: bytes) -> str:
    """A token as text, or its bytes spelt out."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)
