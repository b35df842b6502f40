"""Inputs as windows: runs of token ids no longer than the encoder reads, each opened and closed.

A text longer than a window is split, never cut: its vector is the mean over all its windows, each counting by
its tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.answers.embedding_schema import input_param
from pennyweight.answers.fields import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.answers.embedding_schema import Input
    from pennyweight.text.encoder_tokenizer import EncoderTokenizer

MAX_TOKENS = 300_000
"""Tokens of one request over all its inputs, as OpenAI has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """All inputs of a request. Windows of one input follow each other; `of_input[i]` says how many it has."""

    tokens: tuple[tuple[int, ...], ...]
    of_input: tuple[int, ...]
    num_tokens: int  # of the inputs, with one opening and one closing token each


class WindowCutter:
    """Cuts inputs for one encoder; `window` counts the opening and the closing token."""

    def __init__(self, tokenizer: EncoderTokenizer, *, window: int) -> None:
        self._tokenizer = tokenizer
        self._content = window - 2

    def cut(self, inputs: Sequence[Input]) -> Windows:
        """Raises ParameterError for ids that are no tokens, or for more than `MAX_TOKENS` in all."""
        windows: list[tuple[int, ...]] = []
        of_input = []
        total = 0
        for index, item in enumerate(inputs):
            param = input_param(inputs, index)
            content = self._content_of(item, param, room=MAX_TOKENS - total)
            total += len(content) + 2
            if total > MAX_TOKENS:
                raise _too_many(param)
            own = self._split(content)
            windows += own
            of_input.append(len(own))
        return Windows(tokens=tuple(windows), of_input=tuple(of_input), num_tokens=total)

    def _content_of(self, item: Input, param: str, *, room: int) -> list[int]:
        if not isinstance(item, str):
            return self._checked_ids(item, param)
        ids: list[int] = []
        for run in self._tokenizer.encode(item):
            ids += run
            if len(ids) > room:
                raise _too_many(param)
        return ids

    def _checked_ids(self, ids: tuple[int, ...], param: str) -> list[int]:
        """Tokenizers deliver ids opened and closed: those at the ends are not doubled."""
        content = list(ids)
        for position, token in enumerate(content):
            if token >= self._tokenizer.vocab_size:
                message = (
                    f"'{param}' has the token id {token} at {position}; this encoder has "
                    f"{self._tokenizer.vocab_size} tokens. Send text instead."
                )
                raise ParameterError(message, param=param, code="invalid_token_id")
        if content[0] == self._tokenizer.opening:
            del content[0]
        if content and content[-1] == self._tokenizer.closing:
            del content[-1]
        return content

    def _split(self, content: list[int]) -> list[tuple[int, ...]]:
        opening, closing, size = self._tokenizer.opening, self._tokenizer.closing, self._content
        starts = range(0, max(len(content), 1), size)  # a text of no tokens still has its two
        return [(opening, *content[start : start + size], closing) for start in starts]


def _too_many(param: str) -> ParameterError:
    message = f"'{param}' brings this request over {MAX_TOKENS} tokens in all. Send several requests."
    return ParameterError(message, param=param, code="max_tokens_per_request")
