"""An engine whose tokens the test chooses, so that what happens between two tokens is fixed.

It keeps the contract of `engine.loop.StepLoop`: `submit`, `cancel`, one FinishedEvent per choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.core import FinishedEvent, FinishReason, Timings, TokenEvent, TokenLogprob, TokenSpan, Usage
from pennyweight.models.gguf import GGUFFile
from pennyweight.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pennyweight.core import Event, Request

FIRST_BYTE = 3  # the tiny vocabulary has three control tokens, then one token for each byte


def read_tokenizer(path: Path) -> Tokenizer:
    with GGUFFile.open(path) as file:
        return Tokenizer.from_metadata(file.metadata)


def byte_token(byte: int) -> int:
    """The token of the tiny byte-level vocabulary that stands for one byte."""
    return FIRST_BYTE + byte


class ScriptedEngine:
    """Holds one request; the test says what the model would."""

    def __init__(self) -> None:
        self.request: Request | None = None
        self.cancelled: list[int | None] = []
        self._listener: Callable[[Event], None] | None = None
        self._said: dict[int, int] = {}

    def submit(self, request: Request, listener: Callable[[Event], None]) -> ScriptedEngine:
        self.request = request
        self._listener = listener
        return self

    cpu_s = 0.25
    prompt_usage = Usage()
    timings = Timings()

    def cancel(self, choice: int | None = None) -> None:
        self.cancelled.append(choice)

    def post(self, event: Event) -> None:
        assert self._listener is not None
        self._listener(event)

    def say(self, data: bytes, *, choice: int = 0, logprob: float | None = None) -> None:
        """One token per byte."""
        for byte in data:
            self._said[choice] = self._said.get(choice, 0) + 1
            token = byte_token(byte)
            top = () if logprob is None else (TokenLogprob(token, logprob), TokenLogprob(0, logprob - 1))
            self.post(TokenEvent(choice, token, logprob, top))

    def finish(
        self,
        reason: FinishReason = FinishReason.STOP,
        *,
        choice: int = 0,
        error: str | None = None,
        accepted: int = 0,
    ) -> None:
        """End a choice; an end token counts as one more, as the engine counts it."""
        assert self.request is not None
        (span,) = self.request.prompt
        assert isinstance(span, TokenSpan)
        completion_tokens = self._said.get(choice, 0) + (reason is FinishReason.STOP)
        usage = Usage(
            prompt_tokens=len(span.tokens),
            completion_tokens=completion_tokens,
            cached_tokens=1 + choice,
            accepted_prediction_tokens=accepted,
        )
        self.post(FinishedEvent(choice=choice, reason=reason, usage=usage, timings=Timings(), error=error))
