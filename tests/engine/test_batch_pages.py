"""What lines of a batch leave in the cache: whole pages, and of a shared page what somebody still holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from tests.engine.bench import Bench
from tests.engine.requests import GREEDY, expected_text, request, tokens


@pytest.mark.parametrize(("priority", "num_left"), [("batch", 2), ("interactive", 3)])
def test_a_line_leaves_no_part_of_a_page(priority: Literal["batch", "interactive"], num_left: int) -> None:
    bench = Bench()
    bench.submit(request(tokens(140), priority=priority))
    bench.run()
    assert bench.scheduler.cache.pool.num_cached == num_left
    again = bench.submit(request(tokens(140)))
    bench.run()
    assert again.tokens[0] == expected_text(tokens(140))


def test_short_lines_one_after_another_use_the_same_memory() -> None:
    bench = Bench()
    for salt in range(20):
        bench.submit(request(tokens(30, salt=salt), priority="batch"))
        bench.run()
    assert bench.scheduler.cache.pool.next_to_commit(1) == 1, "one page was ever given out"


def test_a_part_that_somebody_holds_stays() -> None:
    bench = Bench()
    asked = request(tokens(30), sampling=replace(GREEDY, max_tokens=2), priority="batch")
    short = bench.submit(asked)
    long = bench.submit(request(tokens(30), sampling=replace(GREEDY, max_tokens=30)))
    while not short.finished:
        bench.step()
    third = bench.submit(request(tokens(40)))
    bench.step()
    assert third.group.sequences[0].num_computed >= 29, "the second has the same text"
    bench.run()
    assert long.tokens[0] == expected_text(tokens(30), replace(GREEDY, max_tokens=30))
