"""The vocabulary of an answer: data only, imported by every room, importing none.

A `Request` goes into the engine; `TokenEvent`s and exactly one `FinishedEvent` per choice come out. A prompt
that takes several steps is told about by `PromptProgress` before its first token.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PAGE_TOKENS = 64
"""Tokens of one KV page; the native cache and the prefix tree share this constant."""

Priority = Literal["interactive", "batch"]


def pages_for(num_tokens: int) -> int:
    """KV pages that hold `num_tokens` tokens."""
    return -(-num_tokens // PAGE_TOKENS)


class FinishReason(StrEnum):
    """Why a choice ended."""

    STOP = "stop"  # an end token, a stop token or a stop string
    LENGTH = "length"  # max_tokens, or the context is full
    CANCELLED = "cancelled"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen. Neutral values change nothing; `temperature` 0 is greedy.

    Order: penalties, bias, mask, temperature, top_k, top_p, min_p. `seed` None draws a fresh one per request.
    """

    temperature: float = 1.0
    top_k: int = 0  # 0: off
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0  # over prompt and output, divides positive logits (Keskar 2019)
    presence_penalty: float = 0.0  # over output
    frequency_penalty: float = 0.0  # over output
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    seed: int | None = None
    max_tokens: int | None = None  # None: until the context is full
    min_tokens: int = 0  # end and stop tokens are impossible before this many
    stop_token_ids: frozenset[int] = frozenset()  # beside the model's end tokens
    ignore_eos: bool = False
    top_logprobs: int | None = None  # None: no log-probabilities; 0: only of the chosen token; at most 20


@dataclass(frozen=True, slots=True)
class TokenSpan:
    """A run of token ids of a prompt."""

    tokens: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingSpan:
    """A run of positions given as vectors (an image): float32 little-endian, `[positions, d_model]`."""

    content_hash: bytes
    positions: int
    vectors: bytes


Prompt = tuple[TokenSpan | EmbeddingSpan, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheNamespace:
    """Prefixes are shared only inside one namespace."""

    model: str
    adapter: str | None = None  # identity of its content: pages may outlive the process
    kv_format: str = "int8"
    project: str = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """How much one key or one project (`subject` is its id) may use; None: no limit.

    `budget` is in picodollars (10**-12 US dollars), per calendar month (UTC) or in total; `training_tokens`
    are what fine-tuning may train in a calendar month.
    """

    subject: str
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    budget: int | None = None
    budget_period: Literal["month", "total"] = "month"
    training_tokens: int | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is limited."""
        limits = (self.requests_per_minute, self.tokens_per_minute, self.budget, self.training_tokens)
        return all(limit is None for limit in limits)


class MaskProvider(Protocol):
    """A grammar: which tokens may come next. Used by one thread at a time.

    Inherit from it: `forced` and `masks` have defaults, which are right and slow. What `mask`, `forced` and
    `masks` say follows from the tokens accepted so far alone, so that an answer never depends on how its
    steps were cut. End tokens are never accepted: a choice ends with the first.
    """

    def mask(self) -> bytes:
        """Bit i of little-endian 32-bit words allows token i; `ceil(vocab_size / 32)` words."""
        ...

    def accept(self, token: int) -> None:
        """The sequence took `token`."""
        ...

    def fork(self) -> MaskProvider:
        """An independent copy in the same state, for another choice of the same request."""
        ...

    def forced(self) -> Sequence[int]:
        """The tokens that come next whatever the model thinks, as far as they are known; empty if it chooses.

        Each is the one token that `mask` would allow after those before it, so the engine may take them
        unsampled and calls `accept` for each. Where several runs of tokens spell the only possible text, the
        grammar picks one, and `mask` keeps to it.
        """
        return ()

    def masks(self, draft: Sequence[int]) -> list[bytes]:
        """The masks before each token of `draft` and behind its last; the state stays as it is.

        The list ends with the first mask that forbids its draft token: what would follow is of no use.
        """
        ahead = self.fork()
        masks = [ahead.mask()]
        for token in draft:
            if not masks[-1][token // 8] >> token % 8 & 1:
                break
            ahead.accept(token)
            masks.append(ahead.mask())
        return masks


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt and all the answers wanted for it."""

    id: str
    prompt: Prompt
    sampling: SamplingParams
    namespace: CacheNamespace
    priority: Priority = "interactive"
    deadline_s: float | None = None  # on the engine's monotonic clock; past it the request is cancelled
    num_choices: int = 1
    adapter: str | None = None
    mask_provider: MaskProvider | None = None
    draft: tuple[int, ...] = ()  # predicted output tokens
    prompt_logprobs: bool = False  # with sampling.top_logprobs; computes all positions, reuses no prefix


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural log-probability of one token, from raw logits (before penalties, temperature and mask)."""

    token: int
    logprob: float


@dataclass(frozen=True, slots=True)
class PromptProgress:
    """A step has computed part of a prompt: `computed` of `total` tokens are done, found ones included."""

    choice: int
    computed: int
    total: int


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One generated token of one choice."""

    choice: int
    token: int
    logprob: float | None = None
    top: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Token counts as OpenAI bills them; `cached_tokens` are prompt tokens that were not recomputed.

    Of the request's draft, `accepted_prediction_tokens` are in the answer, the others are rejected.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds. `ttft_s` runs from submission to the first token, `decode_s` from then to the last.

    `cpu_s`, processor time of all the request's choices together, is known when the whole request has ended.
    """

    queue_s: float = 0.0
    ttft_s: float = 0.0
    decode_s: float = 0.0
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedEvent:
    """The one terminal event of a choice. `end` is the end token, which is no part of the text, if one came.

    `prompt_logprobs[0]` is None and `prompt_top[0]` empty: nothing predicts the first token. `prompt_top` has
    `sampling.top_logprobs` entries for every other; it is empty if none were asked for.
    """

    choice: int
    reason: FinishReason
    usage: Usage
    timings: Timings
    error: str | None = None
    prompt_logprobs: tuple[float | None, ...] | None = None
    prompt_top: tuple[tuple[TokenLogprob, ...], ...] = ()
    end: TokenEvent | None = None


Event = PromptProgress | TokenEvent | FinishedEvent
