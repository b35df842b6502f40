"""A tally adds up what the parts of a request used, and passes everything on to whoever pays."""

from __future__ import annotations

import asyncio

import pytest

from pennyweight.answers.account import Account, Demand, Ending
from pennyweight.answers.tally import Tally
from pennyweight.core import Timings, Usage
from pennyweight.errors import InsufficientQuotaError


class Payer(Account):
    def __init__(self) -> None:
        self.heard: list[object] = []

    async def admit(self, demand: Demand) -> None:
        if demand.prompt_tokens > 100:
            raise InsufficientQuotaError("no money")
        self.heard.append(demand)

    def settle(self, demand: Demand, usage: Usage, timings: Timings, ending: Ending) -> None:
        self.heard.append((demand, usage, timings, ending))


def test_prompts_of_one_request_add_up() -> None:
    payer = Payer()
    tally = Tally(payer)
    first, second = Demand(prompt_tokens=3), Demand(prompt_tokens=4)
    asyncio.run(tally.admit(first))
    asyncio.run(tally.admit(second))
    usages = [Usage(prompt_tokens=3, completion_tokens=2, cached_tokens=1), Usage(prompt_tokens=4)]
    early = Timings(queue_s=0.5, ttft_s=1.0, decode_s=2.0, cpu_s=3.0)
    tally.settle(first, usages[0], early, "finished")
    assert (tally.usage, tally.timings, tally.ending) == (usages[0], early, "finished")
    tally.settle(second, usages[1], Timings(cpu_s=0.5), "left")
    assert tally.usage == Usage(prompt_tokens=7, completion_tokens=2, cached_tokens=1)
    assert tally.timings == Timings(queue_s=0.5, ttft_s=1.0, decode_s=2.0, cpu_s=3.5)
    assert tally.ending == "left"
    assert payer.heard[:2] == [first, second]
    assert payer.heard[3] == (second, usages[1], Timings(cpu_s=0.5), "left")


@pytest.mark.parametrize("endings", [("failed", "finished"), ("left", "failed")])
def test_one_failure_is_the_requests(endings: tuple[Ending, Ending]) -> None:
    tally = Tally()
    for ending in endings:
        tally.settle(Demand(prompt_tokens=1), Usage(), Timings(), ending)
    assert tally.ending == "failed"


def test_what_was_refused_asked_no_model() -> None:
    tally = Tally(Payer())
    with pytest.raises(InsufficientQuotaError):
        asyncio.run(tally.admit(Demand(prompt_tokens=101)))
    assert tally.ending is None
