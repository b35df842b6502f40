"""Budgets over a real database: never overspent, nothing counted twice, nothing lost at the end."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from pennyweight.answers.principal import LOCAL, Principal
from pennyweight.core import Allowance
from pennyweight.errors import InsufficientQuotaError
from pennyweight.quota.budgets import Budgets
from pennyweight.store.database import Database
from pennyweight.store.spending import Spending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.quota.budgets import Place

TOTAL = ("key_a", "total")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'pennyweight.db'}"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    with Database.open(url) as database:
        yield database


def who(budget: int = 100) -> Principal:
    allowance = Allowance(subject="key_a", budget=budget, budget_period="total")
    return Principal(project="p", key="key_a", allowances=(allowance,))


def spent(database: Database, place: Place = TOTAL) -> int:
    return database.read_now(lambda link: Spending().of(link, [place]))[place]


def test_what_is_set_aside_is_not_there_for_others(database: Database) -> None:
    async def scenario() -> None:
        budgets = Budgets(database)
        places = await budgets.reserve(who(), 60)
        assert places == (TOTAL,)
        with pytest.raises(InsufficientQuotaError):
            await budgets.reserve(who(), 41)
        await budgets.reserve(who(), 40)
        budgets.settle(places, reserved=60, spent=10)
        with pytest.raises(InsufficientQuotaError):
            await budgets.reserve(who(), 51)
        await budgets.reserve(who(), 50)
        await budgets.flush()
        assert spent(database) == 10
        budgets.close()

    asyncio.run(scenario())


def test_a_sequence_of_requests_spends_exactly_the_budget(database: Database) -> None:
    """Whenever the database is read and written in between, each is counted once."""

    async def scenario() -> None:
        budgets = Budgets(database)
        for number in range(100):
            places = await budgets.reserve(who(), 1)
            budgets.settle(places, reserved=1, spent=1)
            if number % 7 == 0:
                await budgets.flush()
            if number % 3 == 0:
                await asyncio.sleep(0.01)
        with pytest.raises(InsufficientQuotaError):
            await budgets.reserve(who(), 1)
        await budgets.flush()
        with pytest.raises(InsufficientQuotaError):
            await budgets.reserve(who(), 1)
        assert spent(database) == 100
        budgets.close()

    asyncio.run(scenario())


def test_what_is_being_written_is_not_counted_twice(database: Database) -> None:
    async def scenario() -> None:
        budgets = Budgets(database)
        places = await budgets.reserve(who(), 40)
        budgets.settle(places, reserved=40, spent=40)
        writing = asyncio.ensure_future(budgets.flush())
        while not writing.done():  # read at every moment of the write
            other = await budgets.reserve(who(), 20)
            budgets.settle(other, reserved=20, spent=0)
            await asyncio.sleep(0)
        await budgets.reserve(who(), 60)
        budgets.close()

    asyncio.run(scenario())


def test_another_process_is_seen(database: Database) -> None:
    async def scenario() -> None:
        budgets = Budgets(database)
        places = await budgets.reserve(who(), 90)
        budgets.settle(places, reserved=90, spent=0)
        database.write_now(lambda link: Spending().put(link, "run_other", {TOTAL: 20}))
        with pytest.raises(InsufficientQuotaError):
            await budgets.reserve(who(), 90)
        budgets.close()

    asyncio.run(scenario())


def test_the_end_writes_what_is_owed(url: str) -> None:
    async def scenario(database: Database) -> None:
        with closing(Budgets(database)) as budgets:
            places = await budgets.reserve(who(), 5)
            budgets.settle(places, reserved=5, spent=4)
            assert spent(database) == 0, "not yet"

    with Database.open(url) as database:
        asyncio.run(scenario(database))
    with Database.open(url) as database:
        assert spent(database) == 4


def test_what_cannot_be_written_is_kept_and_goes_on_counting(
    database: Database, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        budgets = Budgets(database)
        places = await budgets.reserve(who(), 30)
        database.close()
        budgets.settle(places, reserved=30, spent=30)
        while "kept in memory" not in caplog.text:
            await asyncio.sleep(0.01)
        with pytest.raises(InsufficientQuotaError):
            await budgets.reserve(who(), 90)

    asyncio.run(scenario())
    with Database.open(url) as again:
        assert spent(again) == 0


def test_a_month_begins_anew(database: Database) -> None:
    now = [1_795_000_000.0]  # 2026-11-18
    allowance = Allowance(subject="key_a", budget=100)
    holder = Principal(project="p", key="key_a", allowances=(allowance,))

    async def scenario() -> None:
        budgets = Budgets(database, clock=lambda: now[0])
        places = await budgets.reserve(holder, 100)
        budgets.settle(places, reserved=100, spent=100)
        with pytest.raises(InsufficientQuotaError, match="this month"):
            await budgets.reserve(holder, 1)
        now[0] += 14 * 86_400
        assert await budgets.reserve(holder, 100) == (("key_a", "2026-12"),)
        await budgets.flush()
        assert spent(database, ("key_a", "2026-11")) == 100
        budgets.close()

    asyncio.run(scenario())


def test_who_has_no_budget_is_not_asked_about(database: Database) -> None:
    async def scenario() -> None:
        budgets = Budgets(database)
        assert await budgets.reserve(LOCAL, 10**30) == ()
        budgets.settle((), reserved=10**30, spent=5)
        budgets.close()
        assert spent(database) == 0

    asyncio.run(scenario())
