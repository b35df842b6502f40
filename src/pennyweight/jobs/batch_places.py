"""Where the lines of one batch are answered: places on the engine, and a record while they have them."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from pennyweight.jobs.line_weight import weight_of
from pennyweight.jobs.lines_under_way import READING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from pennyweight.jobs.batch_line import BatchLine
    from pennyweight.jobs.line_places import Holder, LinePlaces, Weight
    from pennyweight.jobs.lines_under_way import DeadlyLineError, LinesUnderWay


class BatchPlaces:
    """`holder` says whose batch it is. What was under way when a process died goes first, and alone."""

    def __init__(self, places: LinePlaces, under_way: LinesUnderWay, holder: Holder) -> None:
        self._places = places
        self._under_way = under_way
        self._holder = holder

    @asynccontextmanager
    async def place(self, line: BatchLine) -> AsyncIterator[None]:
        """For an attempt to answer `line`; waits for its turn. Raises StorageFullError."""
        suspect = self._under_way.is_suspect(self._holder.batch, line.number)
        weight: Weight = "all" if suspect else weight_of(line)
        async with self._places.place(self._holder, weight):
            with self._under_way.running(self._holder.batch, line.number):
                yield

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """For reading the input. Raises DeadlyLineError if that ended the process each time."""
        if (refusal := self.refusal(READING)) is not None:
            raise refusal
        async with AsyncExitStack() as stack:
            if self._under_way.is_suspect(self._holder.batch, READING):
                await stack.enter_async_context(self._places.place(self._holder, "all"))
            stack.enter_context(self._under_way.running(self._holder.batch, READING))
            yield

    def refusal(self, number: int) -> DeadlyLineError | None:
        """Why the line of this number is not to be run again; None: it may be."""
        return self._under_way.refusal(self._holder.batch, number)

    def in_order(self, lines: Iterable[int], number_of: Callable[[int], int]) -> list[int]:
        """Indices of `lines`, suspects first; `number_of` gives a line's number."""
        batch_id = self._holder.batch
        return sorted(lines, key=lambda index: not self._under_way.is_suspect(batch_id, number_of(index)))

    def forget(self) -> None:
        """The batch has ended."""
        self._under_way.forget(self._holder.batch)
