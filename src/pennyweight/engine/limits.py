"""What the engine accepts: checked when a request is submitted, before anything is queued.

What a user reads about a wrong value is written here, with its name and bounds. The native
`SamplingOptions::check` repeats the bounds for callers without an engine; a request never gets as far.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS, Request, SamplingParams, TokenSpan
from pennyweight.errors import ContextLengthError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.engine.prompt import FlatPrompt

MAX_CHOICES = 128
MAX_RUNNING = 64
MAX_TOP_LOGPROBS = 20
MAX_INT = 2**31 - 1  # the decoder counts in 32 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes of the model, of the page pool and of the queue."""

    vocab_size: int
    context_length: int  # of the model, or a smaller one that was asked for
    num_pages: int
    remedy: str = "Shorten the prompt."  # for one that is longer than the context
    max_running: int = MAX_RUNNING  # sequences that hold pages at a time
    max_requests: int = 1024  # queued and running, each choice counted
    batch_share: float = 0.1  # of the engine's time that batch requests get at least

    @property
    def max_positions(self) -> int:
        """Longest sequence: prompt and output fit the context, and the pool when it is alone in it."""
        return min(self.context_length, self.num_pages * PAGE_TOKENS)

    def check(self, request: Request, prompt: FlatPrompt) -> None:
        """Raise InvalidRequestError or ContextLengthError, naming the field, if `request` does not fit."""
        if not len(prompt):
            raise InvalidRequestError("The prompt is empty; give at least one token.", param="prompt")
        self._check_length(len(prompt))
        self._check_spans(request)
        self._check_tokens("draft", request.draft)
        self._check_sampling(request.sampling, len(prompt))
        most = min(MAX_CHOICES, self.max_requests)
        if not 1 <= request.num_choices <= most:
            raise InvalidRequestError(f"n is {request.num_choices}; it must be from 1 to {most}.", param="n")
        if request.adapter != request.namespace.adapter:  # or adapters would share each other's pages
            raise InvalidRequestError(
                f"The adapter is {request.adapter!r}, its namespace's is {request.namespace.adapter!r}; "
                "give both the same.",
                param="model",
            )

    def _check_length(self, num_prompt: int) -> None:
        if num_prompt >= self.context_length:
            raise ContextLengthError(
                f"The prompt has {num_prompt} tokens; the context holds {self.context_length}, one of them "
                f"for the answer. {self.remedy}",
                param="messages",
            )
        if num_prompt >= self.max_positions:
            raise ContextLengthError(
                f"The prompt has {num_prompt} tokens; the KV cache has {self.num_pages} pages of "
                f"{PAGE_TOKENS} tokens, {self.max_positions} in all. Shorten the prompt or give the engine "
                "more cache.",
                param="messages",
            )

    def _check_spans(self, request: Request) -> None:
        for span in request.prompt:
            if isinstance(span, TokenSpan):
                self._check_tokens("prompt", span.tokens)
            elif span.positions < 1 or not span.vectors or len(span.vectors) % (4 * span.positions):
                raise InvalidRequestError(
                    f"An embedding span of {span.positions} positions has {len(span.vectors)} bytes; it "
                    "needs one float32 vector per position.",
                    param="prompt",
                )

    def _check_tokens(self, param: str, tokens: tuple[int, ...] | frozenset[int]) -> None:
        if tokens and not (min(tokens) >= 0 and max(tokens) < self.vocab_size):
            wrong = next(token for token in tokens if not 0 <= token < self.vocab_size)
            raise InvalidRequestError(
                f"Token {wrong} is not in the vocabulary of {self.vocab_size} tokens.", param=param
            )

    def _check_sampling(self, sampling: SamplingParams, num_prompt: int) -> None:
        for param, value, fits, wanted in _sampling_rules(sampling):
            if not fits:
                raise InvalidRequestError(f"{param} is {value}; it must be {wanted}.", param=param)
        room = self.max_positions - num_prompt
        if sampling.min_tokens > room:
            raise InvalidRequestError(
                f"min_tokens is {sampling.min_tokens}; it must be at most {room}: {num_prompt} of "
                f"{self.max_positions} tokens are the prompt's.",
                param="min_tokens",
            )
        self._check_tokens("logit_bias", frozenset(sampling.logit_bias))
        self._check_tokens("stop_token_ids", sampling.stop_token_ids)


def _sampling_rules(sampling: SamplingParams) -> Iterator[tuple[str, object, bool, str]]:
    """(parameter, value, whether it is allowed, what is). The decoder computes in float32."""
    s = sampling
    top = s.top_logprobs
    heat = s.temperature
    yield "temperature", heat, heat >= 0 and _is_finite(heat), "a number of at least 0"
    yield "top_k", s.top_k, 0 <= s.top_k <= MAX_INT, f"from 0 (off) to {MAX_INT}"
    yield "top_p", s.top_p, _float32(s.top_p) > 0 and s.top_p <= 1, "above 0 and at most 1"
    yield "min_p", s.min_p, 0 <= s.min_p <= 1, "from 0 to 1"
    repetition = s.repetition_penalty
    yield "repetition_penalty", repetition, 0 < _float32(repetition) < math.inf, "a number above 0"
    yield "presence_penalty", s.presence_penalty, _is_finite(s.presence_penalty), "finite"
    yield "frequency_penalty", s.frequency_penalty, _is_finite(s.frequency_penalty), "finite"
    yield "logit_bias", dict(s.logit_bias), all(map(_is_finite, s.logit_bias.values())), "finite"
    yield "seed", s.seed, s.seed is None or -(2**63) <= s.seed < 2**64, "a 64-bit integer"
    yield "max_tokens", s.max_tokens, s.max_tokens is None or s.max_tokens >= 0, "at least 0"
    yield "min_tokens", s.min_tokens, s.min_tokens >= 0, "at least 0"
    yield "top_logprobs", top, top is None or 0 <= top <= MAX_TOP_LOGPROBS, f"from 0 to {MAX_TOP_LOGPROBS}"


def _is_finite(value: float) -> bool:
    return math.isfinite(_float32(value))


def _float32(value: float) -> float:
    """`value` as the decoder sees it: rounded, 0 if too small, infinite if too large."""
    try:
        rounded: float = struct.unpack("f", struct.pack("f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded
