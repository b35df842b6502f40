"""One batch from where it is to its end, by one worker: checked, answered line by line, put together."""

from __future__ import annotations

import asyncio
import heapq
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final, TypeVar

from pennyweight.answers.principal import Principal
from pennyweight.core import Timings
from pennyweight.cost.usage import Asked, AskedModel, Ended, usage_row
from pennyweight.errors import PennyweightError
from pennyweight.jobs.batch_input import InputLimits, read_input
from pennyweight.jobs.line_keeper import LineKeeper
from pennyweight.jobs.line_result import never_run
from pennyweight.jobs.line_runner import run_lines, window_for
from pennyweight.store.allowances import Allowances
from pennyweight.store.batch_work import BatchWork, LineRow, WrittenFile
from pennyweight.store.batches import BatchState
from pennyweight.store.failpoints import failpoint
from pennyweight.store.files import StoredFile
from pennyweight.store.identifiers import new_id
from pennyweight.store.usage import UsageRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sqlalchemy import Connection

    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.cost.prices import Kind
    from pennyweight.jobs.batch_input import BatchInput
    from pennyweight.jobs.batch_line import BatchLine
    from pennyweight.jobs.line_result import LineResult
    from pennyweight.quota.accounts import Accounts
    from pennyweight.store.batch_work import BatchLease
    from pennyweight.store.batches import Batch
    from pennyweight.store.blob import Blob
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database
    from pennyweight.store.usage import UsageRow

T = TypeVar("T")
_EXPIRED: Final = "This request could not be executed before the completion window expired."
_ROWS: Final = 100  # results read at a time
_NO_LIMIT: Final = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What batches are run with. `check_model(url, model)` raises for a model that is not served there."""

    database: Database
    blobs: BlobStore
    endpoints: Endpoints
    check_model: Callable[[str, str], object]
    limits: InputLimits
    accounts: Accounts


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One answered line and its usage, on the way to the database."""

    row: LineRow
    usage: UsageRow


class BatchRun:
    """Raises LeaseLostError, UnavailableError, StorageFullError; then nothing of it is lost."""

    def __init__(self, workshop: Workshop, batch: Batch, lease: BatchLease, *, lease_s: int) -> None:
        self._shop = workshop
        self._batch = batch
        self._lease = lease
        self._lease_s = lease_s
        self._work = BatchWork()
        self._usage = UsageRows()
        self._news = asyncio.Event()

    def look(self) -> None:
        """Something may have changed: see how the batch is."""
        self._news.set()

    async def run(self) -> None:
        """Until it ends, or nothing more may be begun."""
        keeper = asyncio.create_task(self._keep_lease())
        try:
            blob = await self._read(lambda connection: self._work.input_blob(connection, self._batch))
            with self._shop.blobs.open(blob) as source:
                await self._run(source)
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    @property
    def may_begin_lines(self) -> bool:
        return self._batch.state is BatchState.IN_PROGRESS and time.time() < self._batch.expires_at

    async def _run(self, source: BinaryIO) -> None:
        first = self._batch.state is BatchState.VALIDATING
        checked, errors = await asyncio.to_thread(
            read_input,
            source,
            urls=(self._batch.endpoint,),
            # Who restarts a server with another model gets errors line by line, not a batch that failed.
            check_model=self._shop.check_model if first else lambda *_: None,
            limits=self._shop.limits,
        )
        if errors:
            problems = [error.payload() for error in errors]
            await asyncio.to_thread(self._end, BatchState.FAILED, problems=problems)
            return
        assert checked.model is not None
        model, num_lines = checked.model, len(checked)
        await self._write(
            lambda c: self._work.begin(c, self._lease, model=model, num_lines=num_lines, now=_now())
        )
        failpoint("batch.begun")
        done = await self._read(lambda c: self._work.done_lines(c, self._lease))
        principal = await self._read(self._principal)
        window = window_for(max(checked.lengths))
        async with LineKeeper(self._keep) as keeper:
            ledger = _StoreLedger(self, checked, source, done, keeper)
            await run_lines(
                ledger,
                self._shop.endpoints,
                principal,
                window=window,
                account_for=lambda url, model: self._shop.accounts.of_batch(
                    principal, model=model, kind=_kind(url)
                ),
            )
        await self._finish(checked, source, ledger.done)

    def _principal(self, connection: Connection) -> Principal:
        """Who made the batch, with the budgets of the key and its project."""
        project, key = self._batch.project_id, self._batch.key_id
        subjects = (project,) if key is None else (key, project)
        return Principal(project=project, key=key, allowances=Allowances().of(connection, subjects))

    async def _finish(self, checked: BatchInput, source: BinaryIO, done: set[int]) -> None:
        state = BatchState.CANCELLED
        if len(done) == len(checked):
            await self._write(lambda c: self._work.finalize(c, self._lease, now=_now()))
            failpoint("batch.finalizing")
            if self._batch.state is BatchState.FINALIZING:
                state = BatchState.COMPLETED
        elif self._batch.state is not BatchState.CANCELLING:
            state = BatchState.EXPIRED
        missing: Iterable[tuple[int, bytes]] = ()
        num_never_run = 0
        if state is BatchState.EXPIRED:
            num_never_run = len(checked) - len(done)
            missing = (
                (number, never_run(checked.line(source, i).custom_id, code="batch_expired", message=_EXPIRED))
                for i, number in enumerate(checked.numbers)
                if number not in done
            )
        await asyncio.to_thread(self._end, state, missing=missing, num_never_run=num_never_run)

    def _end(
        self,
        state: BatchState,
        *,
        problems: list[dict[str, object]] | None = None,
        missing: Iterable[tuple[int, bytes]] = (),
        num_never_run: int = 0,
    ) -> None:
        """Write the files and enter the last state, all or nothing."""
        if problems and self._batch.state is BatchState.CANCELLING:
            state = BatchState.CANCELLED
        with ExitStack() as stack:
            output = self._written(stack, "output", self._rows(succeeded=True))
            rows = heapq.merge(self._rows(succeeded=False), missing, key=lambda row: row[0])
            errors = self._written(stack, "error", rows)
            unused = self._shop.database.write_now(
                lambda connection: self._work.end(
                    connection,
                    self._lease,
                    state,
                    now=_now(),
                    output=output,
                    errors=errors,
                    problems=problems or (),
                    num_never_run=num_never_run,
                )
            )
            failpoint("batch.ended")
        for blob in unused:
            self._shop.blobs.collect(blob)

    def _written(self, stack: ExitStack, kind: str, rows: Iterator[tuple[int, bytes]]) -> WrittenFile | None:
        """A file of `rows`, durable but not yet anybody's; None for none."""
        first = next(rows, None)
        if first is None:
            return None
        batch, now = self._batch, _now()
        incoming = stack.enter_context(self._shop.blobs.receive(batch.project_id, max_bytes=_NO_LIMIT))
        incoming.write(first[1])
        for _, line in rows:
            incoming.write(line)
        blob: Blob = incoming.finish()
        file = StoredFile(
            id=new_id("file-"),
            project_id=batch.project_id,
            filename=f"{batch.id}_{kind}.jsonl",
            purpose="batch_output",
            num_bytes=blob.num_bytes,
            created_at=now,
            expires_at=None if batch.output_expires_after is None else now + batch.output_expires_after,
        )
        return WrittenFile(file=file, blob=blob)

    def _rows(self, *, succeeded: bool) -> Iterator[tuple[int, bytes]]:
        after = 0
        while rows := self._shop.database.read_now(
            lambda c, after=after: self._work.lines(  # type: ignore[misc]
                c, self._lease, succeeded=succeeded, after=after, limit=_ROWS
            )
        ):
            yield from rows
            after = rows[-1][0]

    def kept(self, line: BatchLine, result: LineResult) -> KeptLine:
        """What is written of one line."""
        row = LineRow(line=line.number, succeeded=result.succeeded, result=result.line(), usage=result.usage)
        asked = Asked(
            request_id=result.request_id,
            project=self._batch.project_id,
            key=self._batch.key_id,
            kind=_kind(line.url),
            endpoint=line.url,
            model=None if result.model is None else AskedModel(asked=line.model, ran=result.model),
            batch=True,
        )
        ended = Ended(
            at=time.time(),
            outcome="completed" if result.succeeded else "refused" if result.status < 500 else "failed",
            status=result.status,
            total_s=result.seconds,
            usage=result.usage,
            timings=result.timings or Timings(),
        )
        return KeptLine(row, usage_row(asked, ended, self._shop.accounts.prices))

    async def _keep(self, lines: Sequence[KeptLine]) -> None:
        """Results and their usage in one transaction."""

        def both(connection: Connection) -> None:
            self._work.add_lines(connection, self._lease, [kept.row for kept in lines])
            self._usage.add(connection, [kept.usage for kept in lines])

        await self._shop.database.write(both)
        failpoint("batch.lines")

    async def _keep_lease(self) -> None:
        """Renew it in time, and see meanwhile whether the batch is to be cancelled."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), self._lease_s / 3)
            self._news.clear()
            with suppress(PennyweightError):  # a full disk: it may pass before the lease does
                await self._write(
                    lambda c: self._work.renew(c, self._lease, now=_now(), lease_s=self._lease_s)
                )

    async def _write(self, work: Callable[[Connection], Batch]) -> None:
        self._batch = await self._shop.database.write(work)

    async def _read(self, work: Callable[[Connection], T]) -> T:
        return await self._shop.database.read(work)


class _StoreLedger:
    """Lines without a row, in the order that shares most, as long as the batch may go on."""

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
        self._left = iter([index for index in checked.order if checked.numbers[index] not in done])

    def next_line(self) -> BatchLine | None:
        if not self._run.may_begin_lines:
            return None
        index = next(self._left, None)
        return None if index is None else self._checked.line(self._source, index)

    async def keep(self, line: BatchLine, result: LineResult) -> None:
        await self._keeper.add(self._run.kept(line, result))
        self.done.add(line.number)


def _kind(url: str) -> Kind:
    return "embeddings" if url == "/v1/embeddings" else "completions"


def _now() -> int:
    return int(time.time())
