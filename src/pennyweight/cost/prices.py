"""The dated price list: what a request's tokens cost, exact, in picodollars (10**-12 US dollars).

A dollar per million tokens is 1,000,000 picodollars per token, so every published price is a whole number,
and so is the half price of a batch: sums are exact, and no float takes part. The default list is that of the
models whose names are aliases here: GPT-4o mini and text-embedding-3-small.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.core import Usage

PICODOLLARS: Final = 10**12
"""In one dollar."""

Kind = Literal["completions", "embeddings", "training"]
"""OpenAI's kinds of usage that this server has; chats and responses are completions."""
KINDS: Final[tuple[Kind, ...]] = ("completions", "embeddings", "training")

ANY_MODEL: Final = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Picodollars per token, from the second `since` (since 1970) on, for `model` (a served name) or any.

    `cached` is for prompt tokens found in the cache. `batch_percent` of all is what a batch pays. Of the kind
    `training` every token that is trained, once an epoch, is a prompt token.
    """

    prompt: int
    cached: int
    completion: int
    batch_percent: int = 50
    model: str = ANY_MODEL
    kind: Kind = "completions"
    since: int = 0

    def of(self, usage: Usage, *, batch: bool = False) -> int:
        """Picodollars for `usage`; a fraction of one, which only odd percentages make, is rounded up.

        Predicted tokens that were wrong are not billed: they are in no answer.
        """
        fresh = usage.prompt_tokens - usage.cached_tokens
        whole = (
            fresh * self.prompt
            + usage.cached_tokens * self.cached
            + usage.completion_tokens * self.completion
        )
        return -(-whole * self.batch_percent // 100) if batch else whole


PRICE_LIST: Final = (
    Price(prompt=150_000, cached=75_000, completion=600_000),  # GPT-4o mini: $0.15, $0.075, $0.60 a million
    Price(prompt=20_000, cached=20_000, completion=0, kind="embeddings"),  # text-embedding-3-small: $0.02
    Price(prompt=3_000_000, cached=3_000_000, completion=0, kind="training"),  # GPT-4o mini: $3 a million
)
"""What holds where the operator's own list says nothing (https://platform.openai.com/docs/pricing)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """The operator's own list over the default one. Usage keeps the price it was charged at its time."""

    own: tuple[Price, ...] = ()
    default: tuple[Price, ...] = field(default=PRICE_LIST)

    def price(self, *, model: str, kind: Kind, at: float) -> Price:
        """What holds for a request to `model` that ends at `at` (seconds since 1970).

        The own list before the default one, in each the model's own rows before those of any model, and of
        these the newest that has begun.
        """
        for rows in (self.own, self.default):
            for name in (model, ANY_MODEL):
                if row := _newest(rows, model=name, kind=kind, at=at):
                    return row
        raise AssertionError("the default list has a price for every kind")

    def dollars(self, usage: Usage, *, model: str, batch: bool) -> float:
        """What completions cost now, for showing it: accounts are kept in picodollars."""
        price = self.price(model=model, kind="completions", at=time.time())
        return price.of(usage, batch=batch) / PICODOLLARS


def _newest(rows: Iterable[Price], *, model: str, kind: Kind, at: float) -> Price | None:
    holding = [row for row in rows if row.model == model and row.kind == kind and row.since <= at]
    return max(holding, key=lambda row: row.since, default=None)
