"""One claimed batch from where it is to its end, or until it must stop: checked, answered, put together."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final

from pennyweight.errors import PennyweightError
from pennyweight.jobs.batch_ending import BatchEnding
from pennyweight.jobs.batch_input import InputLimits, read_input
from pennyweight.jobs.batch_ledger import BatchLedger
from pennyweight.jobs.batch_places import BatchPlaces
from pennyweight.jobs.batch_standing import BatchStanding
from pennyweight.jobs.kept_line import KeptLine, keep_lines, kept_line, kind_of
from pennyweight.jobs.line_keeper import LineKeeper
from pennyweight.jobs.line_places import Holder
from pennyweight.jobs.line_result import never_run
from pennyweight.jobs.line_runner import Asker, run_lines, window_for
from pennyweight.jobs.lines_under_way import DeadlyLineError
from pennyweight.jobs.maker import Stop
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.batch_work import BatchWork
from pennyweight.store.batches import BatchState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from pennyweight.answers.account import Account
    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.answers.principal import Principal
    from pennyweight.jobs.batch_input import BatchInput
    from pennyweight.jobs.batch_line import BatchLine
    from pennyweight.jobs.line_places import LinePlaces
    from pennyweight.jobs.line_result import LineResult
    from pennyweight.jobs.lines_under_way import LinesUnderWay
    from pennyweight.quota.accounts import Accounts
    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.batches import Batch
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.change_stamp import ChangeStamp
    from pennyweight.store.database import Database

_WINDOW_OVER: Final = Stop(
    code="batch_expired", message="This request could not be executed before the completion window expired."
)
_DEFECT: Final = Stop(
    code="server_error", message="The server failed to run this batch, several times; its log says why."
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What batches are run with. `check_model(url, model, project)` gives its name.

    It raises if none is served.
    """

    database: Database
    blobs: BlobStore
    endpoints: Endpoints
    check_model: Callable[[str, str, str], str]
    limits: InputLimits
    accounts: Accounts
    under_way: Path  # the file that says which lines are


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the runs of one worker share."""

    stamp: ChangeStamp
    places: LinePlaces
    under_way: LinesUnderWay
    lease_s: int


class InputElsewhereError(PennyweightError):
    """The batch was made at another server of the same database, whose folder has its input."""


class BatchRun:
    """Raises LeaseLostError, InputElsewhereError, UnavailableError, StorageFullError; nothing is lost."""

    def __init__(self, workshop: Workshop, bench: Bench, batch: Batch, lease: BatchLease) -> None:
        self._shop = workshop
        self._bench = bench
        self._batch = batch
        self._lease = lease
        self._claims = BatchClaims()
        self._work = BatchWork()
        self._standing = BatchStanding(workshop.database, bench.stamp, lease)
        self._places = BatchPlaces(bench.places, bench.under_way, Holder(batch.project_id, batch.id))
        self._stop: Stop | None = None
        self._news = asyncio.Event()
        self.is_put_down = False
        self.begun_s = time.monotonic()

    @property
    def batch(self) -> Batch:
        """As it was when it was last looked at."""
        return self._batch

    def look(self) -> None:
        """Something may have changed: see how the batch is."""
        self._news.set()

    def put_down(self) -> None:
        """Begin no more lines, and leave the rest to a later turn: others wait."""
        self.is_put_down = True

    async def run(self) -> None:
        """Until it ends, or nothing more may be begun."""
        async with self._leased():
            blob = await self._shop.database.read(lambda c: self._work.input_blob(c, self._batch))
            try:
                source = self._shop.blobs.open(blob)
            except FileNotFoundError as error:
                raise InputElsewhereError(
                    f"The input of '{self._batch.id}' is not in this folder."
                ) from error
            with source:
                try:
                    await self._run(source)
                except DeadlyLineError as error:
                    problems = [problem(Stop(code=error.code, message=error.message))]
                    await asyncio.to_thread(self._ending().enter, BatchState.FAILED, problems=problems)
        if not self.is_put_down:
            self._places.forget()

    async def give_up(self) -> None:
        """It has failed for good, by a defect of ours; what is done stays."""
        ending, problems = self._ending(), [problem(_DEFECT)]
        self._places.forget()
        async with self._leased():
            try:
                await asyncio.to_thread(ending.enter, BatchState.FAILED, problems=problems)
            except PennyweightError:
                raise
            except Exception:  # the defect may be there
                _log.exception("the files of batch %s could not be written", self._batch.id)
                await asyncio.to_thread(ending.give_up, problems)

    async def asker(self) -> Asker | None:
        """On whose behalf the next line is asked; None: no line may be begun or tried again."""
        if self.is_put_down or self._stop is not None:
            return None
        standing = await self._standing.now()
        self._batch = standing.batch
        if self._batch.state is not BatchState.IN_PROGRESS:
            return None
        self._stop = _WINDOW_OVER if time.time() >= self._batch.expires_at else standing.stop
        if self._stop is not None:
            return None
        return Asker(
            principal=standing.maker.principal,
            account_for=partial(self._account, principal=standing.maker.principal),
        )

    def _account(self, url: str, model: str, *, principal: Principal) -> Account:
        return self._shop.accounts.of_batch(principal, model=model, kind=kind_of(url))

    def _check_model(self, url: str, model: str) -> str:
        return self._shop.check_model(url, model, self._batch.project_id)

    async def _run(self, source: BinaryIO) -> None:
        first = self._batch.state is BatchState.VALIDATING
        async with self._places.reading():
            checked, errors = await asyncio.to_thread(
                read_input,
                source,
                urls=(self._batch.endpoint,),
                # Who restarts a server with another model gets errors line by line, not a batch that failed.
                check_model=self._check_model if first else lambda *_: "",
                limits=self._shop.limits,
            )
        if errors:
            cancelled = self._batch.state is BatchState.CANCELLING
            state = BatchState.CANCELLED if cancelled else BatchState.FAILED
            problems = [error.payload() for error in errors]
            await asyncio.to_thread(self._ending().enter, state, problems=problems)
            return
        assert checked.model is not None
        model, num_lines = checked.model, len(checked)
        await self._write(
            lambda c: self._work.begin(c, self._lease, model=model, num_lines=num_lines, now=_now()),
            at="batch.begun",
        )
        done = await self._shop.database.read(lambda c: self._work.done_lines(c, self._lease))
        async with LineKeeper(partial(keep_lines, self._shop.database, self._lease)) as keeper:
            ledger = BatchLedger(self, checked, source, done, keeper)
            window = window_for(max(checked.lengths))
            await run_lines(ledger, self._shop.endpoints, window=window, place=self._places.place)
        await self._finish(checked, source, done)

    async def _finish(self, checked: BatchInput, source: BinaryIO, done: set[int]) -> None:
        if len(done) == len(checked):
            await self._write(
                lambda c: self._work.finalize(c, self._lease, now=_now()), at="batch.finalizing"
            )
            finished = self._batch.state is BatchState.FINALIZING
            state = BatchState.COMPLETED if finished else BatchState.CANCELLED
            await asyncio.to_thread(self._ending().enter, state)
        elif self._stop is not None:
            await asyncio.to_thread(self._end_early, self._stop, checked, source, done)
        elif self._batch.state is BatchState.CANCELLING:
            await asyncio.to_thread(self._ending().enter, BatchState.CANCELLED)
        else:
            assert self.is_put_down, "lines are left for a reason"
            await self._shop.database.write(
                lambda c: self._claims.put_down(c, self._lease), at="batch.put_down"
            )

    def _end_early(self, stop: Stop, checked: BatchInput, source: BinaryIO, done: set[int]) -> None:
        """What is done stays; every other line is in the error file with the reason."""

        def missing() -> Iterator[tuple[int, bytes]]:
            for index, number in enumerate(checked.numbers):
                if number not in done:
                    custom_id = checked.line(source, index).custom_id
                    yield number, never_run(custom_id, code=stop.code, message=stop.message)

        expired = stop is _WINDOW_OVER
        self._ending().enter(
            BatchState.EXPIRED if expired else BatchState.FAILED,
            problems=() if expired else [problem(stop)],
            missing=missing(),
            num_missing=len(checked) - len(done),
        )

    def _ending(self) -> BatchEnding:
        return BatchEnding(self._shop.database, self._shop.blobs, self._batch, self._lease)

    @property
    def places(self) -> BatchPlaces:
        """Where its lines are answered."""
        return self._places

    def kept(self, line: BatchLine, result: LineResult) -> KeptLine:
        """What is written of one line."""
        return kept_line(self._batch, line, result, self._shop.accounts.prices)

    @asynccontextmanager
    async def _leased(self) -> AsyncIterator[None]:
        keeper = asyncio.create_task(self._keep_lease())
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)

    async def _keep_lease(self) -> None:
        """Renew it in time, and see meanwhile whether the batch is to be cancelled."""
        while True:
            with suppress(TimeoutError):  # `wait_for` may lose a cancel that comes with the news
                async with asyncio.timeout(self._bench.lease_s / 3):
                    await self._news.wait()
            self._news.clear()
            with suppress(PennyweightError):  # a full disk: it may pass before the lease does
                await self._write(
                    lambda c: self._claims.renew(c, self._lease, now=_now(), lease_s=self._bench.lease_s),
                    at="batch.renewed",
                )

    async def _write(self, work: Callable[[Connection], Batch], *, at: str) -> None:
        self._batch = await self._shop.database.write(work, at=at)


def problem(stop: Stop) -> dict[str, object]:
    """As a batch's `errors` tell it."""
    return {"code": stop.code, "message": stop.message, "line": None, "param": None}


def _now() -> int:
    return int(time.time())
