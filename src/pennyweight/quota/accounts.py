"""One account per request: rates and budgets of whoever asks, as `answers` charges them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.answers.account import Account, Demand
from pennyweight.core import Timings, Usage
from pennyweight.quota.rates import ASSUMED_TOKENS, RATE_KINDS, duration

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.answers.account import Ending
    from pennyweight.answers.principal import Principal
    from pennyweight.cost.prices import Kind, Prices
    from pennyweight.quota.budgets import Budgets, Place
    from pennyweight.quota.rates import Rates, RateState


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Makes accounts; one for the whole server. `clock` tells seconds since 1970."""

    rates: Rates
    budgets: Budgets
    prices: Prices
    clock: Callable[[], float] = time.time

    def of(self, principal: Principal, *, model: str, kind: Kind) -> RequestAccount:
        """The account of one request over HTTP."""
        return RequestAccount(self, principal, model=model, kind=kind)

    def of_batch(self, principal: Principal, *, model: str, kind: Kind) -> BatchAccount:
        """The account of one line of a batch: no rates hold, and the price is a batch's."""
        return BatchAccount(self, principal, model=model, kind=kind)


@dataclass(frozen=True, slots=True)
class _SetAside:
    tokens: int
    money: int
    places: tuple[Place, ...]


class BatchAccount(Account):
    """Money alone. What is set aside is settled prompt by prompt."""

    is_batch = True

    def __init__(self, accounts: Accounts, principal: Principal, *, model: str, kind: Kind) -> None:
        self._accounts = accounts
        self._principal = principal
        self._model = model
        self._kind = kind
        self._aside: dict[int, _SetAside] = {}  # by identity: two prompts may ask for the same
        self._spent: list[tuple[tuple[Place, ...], int]] = []

    async def admit(self, demand: Demand) -> None:
        if not self._principal.allowances:
            return
        most = Usage(prompt_tokens=demand.prompt_tokens, completion_tokens=demand.most_tokens)
        money = self._price(most)
        tokens = self._take_tokens(demand)
        try:
            places = await self._accounts.budgets.reserve(self._principal, money)
        except BaseException:  # refused, or the client has gone: nothing stays set aside
            self._give_back_tokens(tokens)
            raise
        self._aside[id(demand)] = _SetAside(tokens, money, places)

    def settle(self, demand: Demand, usage: Usage, timings: Timings, ending: Ending) -> None:  # noqa: ARG002
        aside = self._aside.pop(id(demand), None)
        if aside is None:
            return
        if ending == "failed":
            usage = Usage()  # nobody pays for a failure of ours
        self._give_back_tokens(aside.tokens - usage.prompt_tokens - usage.completion_tokens)
        spent = self._price(usage)
        self._accounts.budgets.settle(aside.places, reserved=aside.money, spent=spent)
        self._spent.append((aside.places, spent))

    def give_back(self) -> None:
        """The request was answered with an error after all: what was computed for it is free."""
        while self._spent:
            places, spent = self._spent.pop()
            self._accounts.budgets.settle(places, reserved=0, spent=-spent)

    def _take_tokens(self, demand: Demand) -> int:  # noqa: ARG002
        return 0

    def _give_back_tokens(self, amount: int) -> None:
        pass

    def _price(self, usage: Usage) -> int:
        prices, now = self._accounts.prices, self._accounts.clock()
        price = prices.price(model=self._model, kind=self._kind, at=now)
        return price.of(usage, batch=self.is_batch)


class RequestAccount(BatchAccount):
    """Requests and tokens per minute as well."""

    is_batch = False

    def begin(self) -> None:
        """Count the request. Raises RateLimitError."""
        self._accounts.rates.take(self._principal, "requests", 1)

    def headers(self) -> dict[str, str]:
        """`x-ratelimit-*` of the limits there are."""
        headers: dict[str, str] = {}
        for kind in RATE_KINDS:
            state = self._accounts.rates.state(self._principal, kind)
            if state is not None:
                headers |= _headers(kind, state)
        return headers

    def _take_tokens(self, demand: Demand) -> int:
        certain = demand.prompt_tokens + (demand.wanted_tokens or 0)
        assumed = min(ASSUMED_TOKENS, demand.most_tokens) if demand.wanted_tokens is None else 0
        return self._accounts.rates.take(self._principal, "tokens", certain + assumed, least=certain)

    def _give_back_tokens(self, amount: int) -> None:
        self._accounts.rates.give_back(self._principal, "tokens", amount)


def _headers(kind: str, state: RateState) -> dict[str, str]:
    return {
        f"x-ratelimit-limit-{kind}": str(state.limit),
        f"x-ratelimit-remaining-{kind}": str(state.remaining),
        f"x-ratelimit-reset-{kind}": duration(state.reset_s),
    }
