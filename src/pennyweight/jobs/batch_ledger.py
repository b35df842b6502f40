"""The lines of a batch that have no row yet, and where their results go."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pennyweight.jobs.batch_input import BatchInput
    from pennyweight.jobs.batch_line import BatchLine
    from pennyweight.jobs.batch_run import BatchRun
    from pennyweight.jobs.kept_line import KeptLine
    from pennyweight.jobs.line_keeper import LineKeeper
    from pennyweight.jobs.line_result import LineResult
    from pennyweight.jobs.line_runner import Asker
    from pennyweight.jobs.lines_under_way import DeadlyLineError


class BatchLedger:
    """`line_runner.Ledger` of one run: lines in the order that shares most."""

    def __init__(
        self,
        run: BatchRun,
        checked: BatchInput,
        source: BinaryIO,
        done: set[int],
        keeper: LineKeeper[KeptLine],
    ) -> None:
        self.done = done
        self._keeper = keeper
        self._run = run
        self._checked = checked
        self._source = source
        left = [index for index in checked.order if checked.numbers[index] not in done]
        self._left = iter(run.places.in_order(left, checked.numbers.__getitem__))

    async def asker(self) -> Asker | None:
        return await self._run.asker()

    def next_line(self) -> BatchLine | None:
        index = next(self._left, None)
        return None if index is None else self._checked.line(self._source, index)

    def refusal(self, line: BatchLine) -> DeadlyLineError | None:
        return self._run.places.refusal(line.number)

    async def keep(self, line: BatchLine, result: LineResult) -> None:
        await self._keeper.add(self._run.kept(line, result))
        self.done.add(line.number)
