"""Places for lines: shared evenly by those who want them, and none is ever lost."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.jobs.batch_line import BatchLine
from pennyweight.jobs.line_places import Holder, LinePlaces, Weight
from pennyweight.jobs.line_weight import MOST, weight_of
from tests.jobs.requests import CHAT

COUNT = 8


async def work(places: LinePlaces, holder: Holder, served: list[str], lines: int) -> None:
    """`lines` lines of a batch, one after another."""
    for _ in range(lines):
        async with places.place(holder, 1):
            served.append(holder.batch)
            await asyncio.sleep(0)


def turns_of(batches: dict[str, tuple[str, int]], lines: int = 40) -> list[str]:
    """In what order lines got their places; `batches` says whose they are and how many ask at a time."""
    served: list[str] = []

    async def main() -> None:
        places = LinePlaces(COUNT)
        await asyncio.gather(
            *(
                work(places, Holder(project, batch), served, lines)
                for batch, (project, at_once) in batches.items()
                for _ in range(at_once)
            )
        )

    asyncio.run(main())
    return served


def test_projects_share_evenly_however_many_batches_each_has() -> None:
    served = turns_of({"a1": ("a", 16), "a2": ("a", 16), "a3": ("a", 16), "b": ("b", 16)})
    shares = Counter(batch[0] for batch in served[100:500])
    assert 180 <= shares["b"] <= 220, shares


def test_batches_of_a_project_share_evenly() -> None:
    shares = Counter(turns_of({"a1": ("a", 16), "a2": ("a", 16)})[100:500])
    assert 180 <= shares["a1"] <= 220, shares


def test_what_nobody_else_wants_is_there_for_one() -> None:
    busy = 0

    async def hold(places: LinePlaces, ready: asyncio.Event) -> None:
        nonlocal busy
        async with places.place(Holder("a", "a"), 1):
            busy += 1
            if busy == COUNT:
                ready.set()
            await ready.wait()

    async def main() -> None:
        places, ready = LinePlaces(COUNT), asyncio.Event()
        async with asyncio.timeout(5):
            await asyncio.gather(*(hold(places, ready) for _ in range(COUNT)))

    asyncio.run(main())
    assert busy == COUNT


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_cancelled_waits_lose_no_place(seed: int) -> None:
    chance = random.Random(seed)

    async def main() -> None:
        places = LinePlaces(2)
        served: list[str] = []
        holders = [Holder(project, project + number) for project in "ab" for number in "12"]
        tasks = [
            asyncio.create_task(work(places, chance.choice(holders), served, chance.randrange(1, 4)))
            for _ in range(20)
        ]
        for _ in range(12):
            for _ in range(chance.randrange(3)):
                await asyncio.sleep(0)
            chance.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(5), places.place(holders[0], 1), places.place(holders[1], 1):
            pass  # both places are there again

    asyncio.run(main())


def line(url: str, **body: object) -> BatchLine:
    return BatchLine(number=1, custom_id="a", url=url, model="m", body=dict(body))


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (1, line(CHAT, messages=[])),
        (5, line(CHAT, n=5)),
        (MOST, line(CHAT, n=128)),
        (1, line(CHAT, n="many")),
        (1, line(CHAT, n=-3)),
        (1, line("/v1/completions", prompt="a")),
        (1, line("/v1/completions", prompt=[1, 2, 3])),
        (6, line("/v1/completions", prompt=["a", "b", "c"], n=2)),
        (MOST, line("/v1/completions", prompt=[[1], [2]] * 500)),
        (1, line("/v1/responses", input="a" * 10_000)),
        (1, line("/v1/embeddings", input="a" * 300)),
        (4, line("/v1/embeddings", input=["a" * 512, "b" * 512])),
        (2, line("/v1/embeddings", input=[[1] * 64, [2] * 64])),
        (MOST, line("/v1/embeddings", input="a" * 300_000)),
        (1, line("/v1/embeddings", input=None)),
    ],
)
def test_a_line_weighs_as_much_as_it_asks_at_a_time(wanted: int, asked: BatchLine) -> None:
    assert weight_of(asked) == wanted


def test_heavy_lines_run_alone_and_are_not_overtaken_for_ever() -> None:
    under_way = most = 0
    ended: list[int] = []

    async def one(places: LinePlaces, batch: str, weight: int) -> None:
        nonlocal under_way, most
        async with places.place(Holder("p", batch), weight):
            under_way += weight
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= weight
            ended.append(weight)

    async def main() -> None:
        places = LinePlaces(COUNT)
        light = [one(places, "light", 1) for _ in range(100)]
        heavy = [one(places, "heavy", COUNT) for _ in range(4)]
        await asyncio.gather(*light, *heavy)

    asyncio.run(main())
    assert most < 2 * COUNT, "no more than the last one's weight beyond what there is"
    assert max(index for index, weight in enumerate(ended) if weight == COUNT) < 90


def test_who_must_be_alone_waits_for_all_and_is_not_overtaken() -> None:
    """Cancelled while it waits, it holds nobody up."""
    order: list[str] = []

    async def main() -> None:
        places = LinePlaces(COUNT)
        go_on = asyncio.Event()

        async def line(name: str, weight: Weight) -> None:
            async with places.place(Holder("a", "a1"), weight):
                order.append(name)
                if weight == "all":
                    assert places._free == 0
                await go_on.wait()

        first = [asyncio.create_task(line(f"first {number}", 1)) for number in range(3)]
        await asyncio.sleep(0)
        unwanted = asyncio.create_task(line("unwanted", "all"))
        alone = asyncio.create_task(line("alone", "all"))
        behind = asyncio.create_task(line("behind", 1))
        for _ in range(5):
            await asyncio.sleep(0)
        assert order == ["first 0", "first 1", "first 2"]
        unwanted.cancel()
        go_on.set()
        await asyncio.gather(*first, alone, behind)
        assert order[3:] == ["alone", "behind"]
        assert places._free == COUNT

    asyncio.run(main())
