"""The row of a request has the price of its day; what we broke is free, what was refused has no tokens."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.core import Timings, Usage
from pennyweight.cost.prices import Price, Prices
from pennyweight.cost.usage import Asked, AskedModel, Ended, usage_row

ASKED = Asked(
    request_id="req_1",
    project="default",
    kind="completions",
    endpoint="/v1/chat/completions",
    model=AskedModel(asked="gpt-4o-mini", ran="small"),
)
USAGE = Usage(prompt_tokens=100, cached_tokens=40, completion_tokens=10)


def ended(**fields: Any) -> Ended:
    values: dict[str, Any] = {"at": 1000.9, "outcome": "completed", "status": 200, "total_s": 0.5}
    return Ended(**values | fields)


def test_a_completed_request() -> None:
    timings = Timings(queue_s=0.0014, ttft_s=0.25, decode_s=0.1, cpu_s=1.5)
    row = usage_row(ASKED, ended(usage=USAGE, timings=timings), Prices())
    assert row.price == 60 * 150_000 + 40 * 75_000 + 10 * 600_000
    assert (row.model_asked, row.model, row.ended_at) == ("gpt-4o-mini", "small", 1000)
    assert (row.queue_ms, row.ttft_ms, row.total_ms, row.cpu_us) == (1, 250, 500, 1_500_000)


def test_the_price_is_that_of_the_moment_it_ended() -> None:
    prices = Prices(own=(Price(prompt=1, cached=0, completion=0, since=1000),))
    asked = [usage_row(ASKED, ended(at=at, usage=Usage(prompt_tokens=7)), prices) for at in (999.9, 1000.0)]
    assert [row.price for row in asked] == [7 * 150_000, 7]


@pytest.mark.parametrize(("outcome", "pays"), [("left", True), ("failed", False), ("refused", False)])
def test_who_left_pays_and_who_was_failed_does_not(outcome: Any, pays: bool) -> None:
    row = usage_row(ASKED, ended(outcome=outcome, usage=USAGE), Prices())
    assert (row.price > 0) is pays
    assert row.prompt_tokens == 100


def test_unknown_times_are_none() -> None:
    row = usage_row(ASKED, ended(), Prices())
    assert (row.queue_ms, row.ttft_ms, row.cpu_us) == (None, None, 0)
