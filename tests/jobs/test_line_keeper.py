"""Results on their way to the disk: each written once, and those that are there when all else ends too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import StorageFullError
from pennyweight.jobs import line_keeper
from pennyweight.jobs.line_keeper import LineKeeper

if TYPE_CHECKING:
    from collections.abc import Sequence


class Disk:
    """Keeps what it is given; the first `full` writes find it full."""

    def __init__(self, *, full: int = 0) -> None:
        self.kept: list[int] = []
        self.writes = 0
        self._full = full

    async def write(self, results: Sequence[int]) -> None:
        self.writes += 1
        await asyncio.sleep(0)
        if self.writes <= self._full:
            raise StorageFullError("full")
        self.kept += results


async def keep(disk: Disk, count: int, *, then: BaseException | None = None) -> None:
    async with LineKeeper(disk.write) as keeper:
        for number in range(count):
            await keeper.add(number)
        if then is not None:
            raise then


def test_everything_is_kept_in_few_writes() -> None:
    disk = Disk()
    asyncio.run(keep(disk, 100))
    assert disk.kept == list(range(100))
    assert disk.writes <= 2


def test_many_results_wait_for_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_keeper, "_GATHER_S", 3600)
    disk = Disk()
    asyncio.run(keep(disk, 1000))
    assert disk.kept == list(range(1000))


def test_a_full_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_keeper, "_PATIENCE_S", 0.001)
    disk = Disk(full=3)
    asyncio.run(keep(disk, 300))
    assert disk.kept == list(range(300))


@pytest.mark.parametrize("full", [0, 1])
def test_what_is_answered_when_all_ends_is_tried_once(full: int) -> None:
    disk = Disk(full=full)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(keep(disk, 5, then=KeyboardInterrupt()))
    assert (disk.kept, disk.writes) == ([] if full else list(range(5)), 1)


def test_a_full_disk_keeps_nobody_from_ending() -> None:
    """Ended while results are gathered, with a disk that stays full: one attempt, and no waiting for room."""

    async def main() -> None:
        async with asyncio.timeout(20):
            async with LineKeeper(disk.write) as keeper:
                await keeper.add(1)
                for _ in range(3):  # until it gathers
                    await asyncio.sleep(0)
                raise KeyboardInterrupt

    disk = Disk(full=10**9)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(main())
    assert disk.writes == 1


def test_what_ends_the_writing_reaches_whoever_adds() -> None:
    class Broken(Disk):
        async def write(self, results: Sequence[int]) -> None:
            raise ZeroDivisionError(len(results))

    async def main() -> None:
        async with LineKeeper(Broken().write) as keeper:
            while True:
                await keeper.add(1)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(main())
