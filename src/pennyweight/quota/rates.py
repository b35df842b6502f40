"""Requests and tokens per minute of every key and project that has such a limit.

A request is charged before it is answered and settled afterwards: a burst cannot slip through while its
answers are still being written. State is in memory: a restart forgives one minute. Used by one thread.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from pennyweight.errors import RateLimitError
from pennyweight.quota.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pennyweight.answers.principal import Principal
    from pennyweight.core import Allowance

RateKind = Literal["requests", "tokens"]
RATE_KINDS: Final[tuple[RateKind, ...]] = ("requests", "tokens")
ASSUMED_TOKENS: Final = 256
"""Charged up front for an answer without a limit of its own; settled when its length is known."""

_MAX_IDLE: Final = 4096  # buckets kept although full: a full one says nothing that a new one does not


@dataclass(frozen=True, slots=True, kw_only=True)
class RateState:
    """The tightest limit of one kind as it stands: what the `x-ratelimit-*` headers tell."""

    limit: int
    remaining: int
    reset_s: float


class Rates:
    """`take` before, `give_back` after, `state` for the headers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, RateKind], Bucket] = {}

    def take(self, principal: Principal, kind: RateKind, amount: int, *, least: int | None = None) -> int:
        """Charge `amount`, and return what was charged. Raises RateLimitError; then nothing is charged.

        `least`: what is certain of `amount`; only this has to fit where a limit is smaller than the rest.
        """
        now_s = self._clock()
        buckets = dict(self._of(principal, kind, now_s))
        smallest = min((bucket.capacity for bucket in buckets.values()), default=amount)
        charged = max(min(amount, smallest), amount if least is None else least)
        for allowance, bucket in buckets.items():
            if bucket.level(now_s) < charged:
                raise _refusal(allowance, kind, bucket, charged, now_s)
        for bucket in buckets.values():
            bucket.take(charged, now_s)
        return charged

    def give_back(self, principal: Principal, kind: RateKind, amount: int) -> None:
        """Undo a charge of `amount`; a negative one is charged, whether it fits or not."""
        now_s = self._clock()
        for _, bucket in self._of(principal, kind, now_s):
            bucket.take(-amount, now_s)

    def state(self, principal: Principal, kind: RateKind) -> RateState | None:
        """None where no limit of this kind exists."""
        now_s = self._clock()
        buckets = [bucket for _, bucket in self._of(principal, kind, now_s)]
        if not buckets:
            return None
        tightest = min(buckets, key=lambda bucket: bucket.level(now_s))
        return RateState(
            limit=tightest.capacity,
            remaining=max(int(tightest.level(now_s)), 0),
            reset_s=tightest.wait_s(tightest.capacity, now_s),
        )

    def _of(self, principal: Principal, kind: RateKind, now_s: float) -> Iterator[tuple[Allowance, Bucket]]:
        for allowance in principal.allowances:
            per_minute = allowance.requests_per_minute if kind == "requests" else allowance.tokens_per_minute
            if per_minute is None:
                continue
            place = (allowance.subject, kind)
            if (bucket := self._buckets.get(place)) is None:
                self._forget_full(now_s)
                bucket = self._buckets[place] = Bucket(per_minute, now_s)
            bucket.resize(per_minute, now_s)
            yield allowance, bucket

    def _forget_full(self, now_s: float) -> None:
        if len(self._buckets) >= _MAX_IDLE:
            self._buckets = {
                place: bucket
                for place, bucket in self._buckets.items()
                if bucket.level(now_s) < bucket.capacity
            }


def _refusal(
    allowance: Allowance, kind: RateKind, bucket: Bucket, amount: int, now_s: float
) -> RateLimitError:
    unit = "requests per min (RPM)" if kind == "requests" else "tokens per min (TPM)"
    start = f"Rate limit reached for {allowance.subject} on {unit}: limit {bucket.capacity}"
    if amount > bucket.capacity:
        message = f"{start}, requested {amount}: this request is larger than the limit. Ask for fewer tokens."
        return RateLimitError(message, kind=kind, retry_after_s=None)
    wait_s = bucket.wait_s(amount, now_s)
    used = bucket.capacity - int(bucket.level(now_s))
    message = f"{start}, used {used}, requested {amount}. Please try again in {duration(wait_s)}."
    return RateLimitError(message, kind=kind, retry_after_s=wait_s)


def duration(seconds: float) -> str:
    """`6m0s`, `1.2s`, `12ms`: as OpenAI writes what is left to wait."""
    if seconds < 1:
        return f"{-int(-1000 * seconds // 1)}ms"
    minutes, rest = divmod(seconds, 60)
    text = f"{rest:.3f}".rstrip("0").rstrip(".")
    return f"{int(minutes)}m{text}s" if minutes else f"{text}s"
