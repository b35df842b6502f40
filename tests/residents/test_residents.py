"""Who is in memory: the line of those who wait, who goes for whom, and that nobody is forgotten."""

from __future__ import annotations

import asyncio
import random
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import (
    EngineError,
    ModelLoadingError,
    ModelUnavailableError,
    OverloadedError,
    UnavailableError,
)
from pennyweight.residents.place import ResidentLimits
from tests.residents.stand_ins import House, StandIn

if TYPE_CHECKING:
    from collections.abc import Coroutine

PATIENCE_S = 30.0


def run(work: Coroutine[object, object, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await work

    asyncio.run(bounded())


async def use(house: House, *names: str) -> None:
    """One short answer after another."""
    for name in names:
        async with house.models[name].open() as model:
            assert model.name == name


async def until(condition: object) -> None:
    assert callable(condition)
    while not condition():
        await asyncio.sleep(0.001)


def test_a_model_is_loaded_when_it_is_asked_for_and_stays() -> None:
    house = House({"a": 1, "b": 1}, room=2)
    with closing(house.residents):
        assert house.models["a"].card()["status"] == {"value": "unloaded"}
        run(use(house, "a", "a", "b", "a"))
        assert house.told == ["+a", "+b"]
        assert house.models["a"].card()["status"] == {"value": "loaded"}
        assert house.residents.num_loads() == {"a": 1, "b": 1}
    assert house.told == ["+a", "+b", "-a", "-b"]


def test_the_least_recently_used_goes_first() -> None:
    house = House({"a": 1, "b": 1, "c": 1, "d": 1}, room=3)
    with closing(house.residents):
        run(use(house, "a", "b", "c", "a", "d"))
        assert house.told == ["+a", "+b", "+c", "-b", "+d"]
        run(use(house, "c", "b"))
        assert house.told[5:] == ["-a", "+b"]


def test_several_go_for_a_large_one() -> None:
    house = House({"a": 1, "b": 1, "large": 3}, room=3)
    with closing(house.residents):
        run(use(house, "a", "b", "large"))
        assert house.told == ["+a", "+b", "-a", "-b", "+large"]


def test_totals_outlive_an_engine() -> None:
    house = House({"a": 1, "b": 1}, room=1)
    with closing(house.residents):
        run(use(house, "a", "b", "a"))
        stats = house.residents.stats()
        assert (stats["a"].steps, stats["a"].pages_total) == (2, 10)
        assert (stats["b"].steps, stats["b"].pages_total) == (1, 0)


def test_a_model_at_work_is_not_unloaded_and_takes_no_further_answers() -> None:
    house = House({"a": 1, "b": 1}, room=1)

    async def work() -> None:
        async with house.models["a"].open():
            wanted = asyncio.create_task(use(house, "b"))
            await until(lambda: house.residents._places["a"].is_leaving)
            late = asyncio.create_task(use(house, "a"))
            await asyncio.sleep(0.02)
            assert not wanted.done()
            assert not late.done(), "it came after b"
            assert house.told == ["+a"]
        await asyncio.gather(wanted, late)
        assert house.told == ["+a", "-a", "+b", "-b", "+a"]

    with closing(house.residents):
        run(work())


def test_an_idle_one_goes_rather_than_one_at_work() -> None:
    house = House({"a": 1, "b": 1, "c": 1}, room=2)

    async def work() -> None:
        async with house.models["a"].open():
            await use(house, "b", "c")
            assert house.told == ["+a", "+b", "-b", "+c"]
            await use(house, "a")

    with closing(house.residents):
        run(work())


def test_answers_of_others_go_on_while_one_is_loaded() -> None:
    house = House({"a": 1, "b": 1}, room=2)

    async def work() -> None:
        await use(house, "a")
        house.is_loading.clear()
        house.may_load.clear()
        wanted = asyncio.create_task(use(house, "b"))
        await until(house.is_loading.is_set)
        assert house.models["b"].card()["status"] == {"value": "loading"}
        await use(house, "a", "a")
        assert not wanted.done()
        house.may_load.set()
        await wanted

    with closing(house.residents):
        run(work())


def test_all_who_wait_are_served_by_one_load() -> None:
    house = House({"a": 1}, room=1)

    async def work() -> None:
        await asyncio.gather(*(use(house, "a") for _ in range(20)))

    with closing(house.residents):
        run(work())
        assert house.told == ["+a"]


def test_a_failure_is_told_to_those_who_wait_for_that_model() -> None:
    house = House({"a": 1, "b": 1}, room=2)
    house.fail["b"] = MemoryError()

    async def work() -> None:
        with pytest.raises(EngineError, match="'b' cannot be loaded; the server's log says why"):
            await use(house, "b")
        await use(house, "a")
        del house.fail["b"]
        await use(house, "b")

    with closing(house.residents):
        run(work())


def test_nobody_goes_for_one_that_never_fits() -> None:
    house = House({"a": 1, "huge": 9}, room=2)

    async def work() -> None:
        await use(house, "a")
        with pytest.raises(ModelUnavailableError, match="huge needs 9 of 2") as caught:
            await use(house, "huge")
        assert (caught.value.status, caught.value.code) == (503, "model_unavailable")
        assert caught.value.retry_after_s is None

    with closing(house.residents):
        run(work())
        assert house.told == ["+a"]


def test_waiting_has_a_limit_of_time_and_the_model_stays_wanted_by_others() -> None:
    house = House({"a": 1}, room=1, limits=ResidentLimits(patience_s=0.01))
    house.may_load.clear()

    async def work() -> None:
        patient = asyncio.create_task(_patiently(house, "a"))
        with pytest.raises(ModelLoadingError, match="was not ready after") as caught:
            await use(house, "a")
        assert caught.value.retry_after_s is not None
        house.may_load.set()
        await patient

    with closing(house.residents):
        run(work())


async def _patiently(house: House, name: str) -> None:
    async with house.models[name].open(patient=True):
        pass


def test_batches_wait_until_nobody_else_does() -> None:
    house = House({"a": 1, "b": 1, "c": 1}, room=3)
    house.may_load.clear()

    async def work() -> None:
        tasks = [asyncio.create_task(use(house, "a"))]
        await until(house.is_loading.is_set)
        for coming in (_patiently(house, "b"), use(house, "c")):
            tasks.append(asyncio.create_task(coming))
            await asyncio.sleep(0)
        house.may_load.set()
        await asyncio.gather(*tasks)
        assert house.told == ["+a", "+c", "+b"]

    with closing(house.residents):
        run(work())


def test_the_line_has_a_limit() -> None:
    house = House({"a": 1}, room=1, limits=ResidentLimits(max_waiting=2))
    house.may_load.clear()

    async def work() -> None:
        waiting = [asyncio.create_task(use(house, "a")) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(OverloadedError, match="2 requests wait"):
            await use(house, "a")
        waiting[0].cancel()
        await asyncio.gather(waiting[0], return_exceptions=True)
        third = asyncio.create_task(use(house, "a"))
        await asyncio.sleep(0)
        house.may_load.set()
        await asyncio.gather(waiting[1], third)

    with closing(house.residents):
        run(work())


def test_nobody_leaves_for_a_client_that_is_gone() -> None:
    """Whoever asked for b gives up while a is at work: a goes on as before."""
    house = House({"a": 1, "b": 1}, room=1)

    async def work() -> None:
        async with house.models["a"].open():
            wanted = asyncio.create_task(use(house, "b"))
            await until(lambda: house.residents._places["a"].is_leaving)
            late = asyncio.create_task(use(house, "a"))
            await asyncio.sleep(0)
            wanted.cancel()
            await late
        assert house.told == ["+a"]

    with closing(house.residents):
        run(work())


def test_an_engine_that_failed_is_replaced() -> None:
    house = House({"a": 1}, room=1)

    async def work() -> None:
        await use(house, "a")
        broken = house.residents._places["a"].resident
        assert isinstance(broken, StandIn)
        broken.is_serving = False
        assert not house.residents.is_serving
        await use(house, "a")
        assert house.told == ["+a", "-a", "+a"]
        assert house.residents.is_serving

    with closing(house.residents):
        run(work())


def test_idle_models_go_after_a_while_if_told_to() -> None:
    house = House({"a": 1, "b": 1}, room=2, limits=ResidentLimits(unload_after_s=0.01))

    async def work() -> None:
        async with house.models["a"].open():
            await use(house, "b")
            await until(lambda: "-b" in house.told)
            assert "-a" not in house.told
        await until(lambda: "-a" in house.told)

    with closing(house.residents):
        run(work())


def test_the_end_tells_those_who_wait() -> None:
    house = House({"a": 1, "b": 1}, room=1)
    house.may_load.clear()

    async def work() -> None:
        waiting = [asyncio.create_task(use(house, name)) for name in "ab"]
        await until(house.is_loading.is_set)
        ending = threading.Thread(target=house.residents.close)
        ending.start()
        for task in waiting:
            with pytest.raises(UnavailableError, match="is stopping"):
                await task
        house.may_load.set()
        await asyncio.to_thread(ending.join)
        with pytest.raises(UnavailableError, match="is stopping"):
            await use(house, "a")

    run(work())
    assert house.told == []
    house.residents.close()


@pytest.mark.parametrize("seed", range(3))
def test_many_clients_and_little_room(seed: int) -> None:
    """Random clients, some of whom leave: every one that stays is answered, and no lease is lost."""
    chance = random.Random(seed)
    sizes = {name: chance.randint(1, 3) for name in "abcdef"}
    house = House(sizes, room=5)

    async def client() -> int:
        served = 0
        for _ in range(10):
            task = asyncio.create_task(use(house, chance.choice("abcdef")))
            await asyncio.sleep(chance.random() * 0.003)
            if chance.random() < 0.3:
                task.cancel()
            outcome = await asyncio.gather(task, return_exceptions=True)
            served += outcome == [None]
            assert outcome == [None] or isinstance(outcome[0], asyncio.CancelledError), outcome
        return served

    async def work() -> None:
        assert sum(await asyncio.gather(*(client() for _ in range(8)))) > 40

    with closing(house.residents):
        run(work())
        assert all(place.num_leases == 0 for place in house.residents._places.values())
        assert not any(waiter.is_there for waiter in house.residents._waiting)
    assert house.used == 0
