"""What the engine accepts: checked when a request is submitted, before anything is queued."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS, Request, SamplingParams, TokenSpan
from pennyweight.errors import ContextLengthError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.engine.prompt import FlatPrompt

MAX_CHOICES = 128
MAX_TOP_LOGPROBS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes of the model, of the page pool and of the queue."""

    vocab_size: int
    context_length: int  # of the model, or a smaller one that was asked for
    num_pages: int
    max_running: int = 64  # sequences that hold pages at a time
    max_requests: int = 1024  # queued and running

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
        self._check_sampling(request.sampling)
        if not 1 <= request.num_choices <= MAX_CHOICES:
            raise InvalidRequestError(
                f"n is {request.num_choices}; it must be from 1 to {MAX_CHOICES}.", param="n"
            )
        if request.adapter is not None or request.namespace.adapter is not None:
            raise InvalidRequestError(
                f"Adapter {request.adapter or request.namespace.adapter!r} is not loaded; use the model.",
                param="model",
            )

    def _check_length(self, num_prompt: int) -> None:
        if num_prompt >= self.context_length:
            raise ContextLengthError(
                f"The prompt has {num_prompt} tokens; the context holds {self.context_length}, one of them "
                "for the answer. Shorten the prompt.",
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

    def _check_sampling(self, sampling: SamplingParams) -> None:
        for param, value, fits, wanted in _sampling_rules(sampling):
            if not fits:
                raise InvalidRequestError(f"{param} is {value}; it must be {wanted}.", param=param)
        self._check_tokens("logit_bias", frozenset(sampling.logit_bias))
        self._check_tokens("stop_token_ids", sampling.stop_token_ids)


def _sampling_rules(sampling: SamplingParams) -> Iterator[tuple[str, object, bool, str]]:
    """(parameter, value, whether it is allowed, what is)."""
    s = sampling
    top = s.top_logprobs
    yield "temperature", s.temperature, 0 <= s.temperature < math.inf, "a number of at least 0"
    yield "top_k", s.top_k, s.top_k >= 0, "at least 0 (0: off)"
    yield "top_p", s.top_p, 0 < s.top_p <= 1, "above 0 and at most 1"
    yield "min_p", s.min_p, 0 <= s.min_p <= 1, "from 0 to 1"
    yield "repetition_penalty", s.repetition_penalty, 0 < s.repetition_penalty < math.inf, "a number above 0"
    yield "presence_penalty", s.presence_penalty, math.isfinite(s.presence_penalty), "finite"
    yield "frequency_penalty", s.frequency_penalty, math.isfinite(s.frequency_penalty), "finite"
    yield "logit_bias", dict(s.logit_bias), all(map(math.isfinite, s.logit_bias.values())), "finite"
    yield "seed", s.seed, s.seed is None or -(2**63) <= s.seed < 2**64, "a 64-bit integer"
    yield "max_tokens", s.max_tokens, s.max_tokens is None or s.max_tokens >= 0, "at least 0"
    yield "min_tokens", s.min_tokens, s.min_tokens >= 0, "at least 0"
    yield "top_logprobs", top, top is None or 0 <= top <= MAX_TOP_LOGPROBS, f"from 0 to {MAX_TOP_LOGPROBS}"
