"""Results of lines on their way to the database, many in one transaction.

A line's place is free for the next one as soon as it is answered; what was not written when the process ends
is answered again. Results that cannot be written for now wait, and with them the batch.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pennyweight.errors import PennyweightError, StorageFullError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

T = TypeVar("T")
_GATHER_S: Final = 0.5  # results of so long go together: a transaction takes as long as twenty rows
_ENOUGH: Final = 64  # results that wait no longer
_MOST_WAITING: Final = 128  # results; then lines wait for the disk
_PATIENCE_S: Final = 2.0  # before a full disk is tried again


class LineKeeper(Generic[T]):
    """`async with`: leaving it well means that everything is kept; what `write` raises is raised there."""

    def __init__(self, write: Callable[[Sequence[T]], Awaitable[None]]) -> None:
        self._write = write
        self._waiting: list[T] = []
        self._room = asyncio.Semaphore(_MOST_WAITING)
        self._news = asyncio.Event()
        self._due = asyncio.Event()  # what waits is to be written now
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    async def add(self, result: T) -> None:
        """Raises what ended the writing, if it has ended."""
        assert self._task is not None
        if self._task.done():
            await self._task
        await self._room.acquire()
        self._waiting.append(result)
        self._news.set()
        if len(self._waiting) >= _ENOUGH:
            self._due.set()

    async def __aenter__(self) -> LineKeeper[T]:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._task is not None
        self._ending = True
        self._news.set()
        self._due.set()
        if kind is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._write_what_waits()
        else:
            await self._task

    async def _run(self) -> None:
        try:
            while not self._ending or self._waiting:
                await self._news.wait()
                self._news.clear()
                with suppress(TimeoutError):  # the last ones wait for nobody; `wait_for` may lose a cancel
                    async with asyncio.timeout(_GATHER_S):
                        await self._due.wait()
                if not self._ending:
                    self._due.clear()
                results, self._waiting = self._waiting, []
                if results:
                    await self._write_surely(results)
                    for _ in results:
                        self._room.release()
        finally:
            for _ in range(_MOST_WAITING):  # who waits for room learns from `add` what happened
                self._room.release()

    async def _write_what_waits(self) -> None:
        """Answers that are there when all else ends are not computed again, if one attempt keeps them."""
        results, self._waiting = self._waiting, []
        if results:
            with suppress(PennyweightError):
                await self._write(results)

    async def _write_surely(self, results: Sequence[T]) -> None:
        while True:
            try:
                await self._write(results)
            except StorageFullError:
                await asyncio.sleep(_PATIENCE_S)
            else:
                return
