"""Answers what was queued, beside a server.

What is claimed is leased, and leases are renewed; a worker that is gone loses what it had to the next one,
which answers it again unless somebody may have seen a part of it. Kinds of generations are answered by the
`Work` given for each.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from pennyweight.errors import PennyweightError
from pennyweight.history.work import Claimed
from pennyweight.jobs.generation_usage import GenerationUsage
from pennyweight.jobs.maker import maker_of
from pennyweight.jobs.worker_thread import WorkerThread
from pennyweight.store.generation import LeaseLostError, State
from pennyweight.store.generations import Generations
from pennyweight.store.identifiers import new_id
from pennyweight.store.leases import Leases
from pennyweight.store.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pennyweight.cost.usage_journal import UsageJournal
    from pennyweight.history.bell import Bell
    from pennyweight.history.work import Work
    from pennyweight.jobs.maker import Stop
    from pennyweight.quota.accounts import Accounts
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation, Kind, Lease

MOST_AT_ONCE: Final = 16
"""Generations under way at a time; further ones wait in the queue, in the order they came."""
MOST_OF_ONE_PROJECT: Final = 8
"""So that others need not wait for all that one project has queued, or for its rates."""
LEASE_S: Final = 30
_RENEWED_S: Final = 5.0
_POLL_S: Final = 2.0  # for what another process queued, or left
_ATTEMPTS: Final = 2
_FOREVER: Final = 2**62
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What a worker works with. `alone`: no other process has this database, so older leases mean nothing."""

    database: Database
    accounts: Accounts
    usage: UsageJournal
    bell: Bell
    alone: bool


class GenerationWorker(WorkerThread):
    """To be closed before the engine. What nobody has seen anything of goes back to the queue then."""

    def __init__(self, desk: Desk, works: Mapping[Kind, Work]) -> None:
        super().__init__("generations", subject="answers in the background", poll_s=_POLL_S)
        self._desk = desk
        self._works = works
        self._leases = Leases()
        self._owner = new_id("worker_")
        self._running: dict[str, asyncio.Task[None]] = {}
        self._projects: Counter[str] = Counter()  # what is under way of each
        self._leases_are_stale = desk.alone

    def drop(self, generation_id: str) -> None:
        """It was cancelled or deleted: stop computing it. From any thread."""
        self._call(partial(self._cancel, generation_id))

    def _cancel(self, generation_id: str) -> None:
        if (task := self._running.get(generation_id)) is not None:
            task.cancel()

    async def _round(self) -> None:
        now = int(time.time())
        await self._expire(_FOREVER if self._leases_are_stale else now)
        self._leases_are_stale = False
        await self._expire_runs(now)
        while await self._claim():
            pass

    async def _expire(self, now: int) -> None:
        kinds = tuple(self._works)
        database = self._desk.database
        if await database.read(lambda c: self._leases.have_expired(c, kinds, now=now)):
            await database.write(
                lambda c: self._leases.expire(c, kinds, now=now, max_attempts=_ATTEMPTS),
                at="generation.expired",
            )

    async def _expire_runs(self, now: int) -> None:
        """End what waited too long, and tell who follows it."""
        runs, database = Runs(), self._desk.database
        if await database.read(lambda c: runs.have_expired(c, now=now)):
            for run_id in await database.write(lambda c: runs.expire(c, now=now), at="run.expired"):
                self._desk.bell.ring(run_id)

    async def _claim(self) -> bool:
        """Begin what waits longest of those whose turn it is; whether there was room and anything."""
        if len(self._running) >= MOST_AT_ONCE:
            return False
        kinds, database, now = tuple(self._works), self._desk.database, int(time.time())
        full = [project for project, count in self._projects.items() if count >= MOST_OF_ONE_PROJECT]
        if not await database.read(lambda c: self._leases.any_waits(c, kinds, passed_over=full)):
            return False
        claimed = await database.write(
            lambda c: self._leases.claim(
                c, kinds, owner=self._owner, now=now, lease_s=LEASE_S, limit=1, passed_over=full
            ),
            at="generation.claimed",
        )
        for generation, lease in claimed:
            self._projects[generation.project_id] += 1
            self._running[generation.id] = self._begin(self._work_on(generation, lease))
        return bool(claimed)

    async def _work_on(self, generation: Generation, lease: Lease) -> None:
        usage, waits = GenerationUsage(generation, self._desk.accounts, fence=lease.fence), True
        try:
            waits = not await self._attempt(generation, lease, usage)
        except asyncio.CancelledError:
            waits = self._stopping
            if self._stopping:
                await self._release(lease)
        except Exception:  # its lease runs out, and it is tried again
            _log.exception("%s was interrupted", generation.id)
        finally:
            for row in usage.rows(waits=waits):
                self._desk.usage.add(row)
            del self._running[generation.id]
            self._projects[generation.project_id] -= 1
            self._news.set()

    async def _attempt(self, generation: Generation, lease: Lease, usage: GenerationUsage) -> bool:
        """Whether it has its end."""
        try:
            await self._answer(generation, lease, usage)
        except LeaseLostError as error:
            _log.info("%s is not answered here any more: %s", generation.id, error.message)
        except PennyweightError as error:  # the engine stops, the disk is full, the database is away
            _log.warning("%s waits: %s", generation.id, error.message)
            await asyncio.sleep(_POLL_S)  # what is in the way is not gone at once
            await self._set_aside(lease, error)
        else:
            return True
        return False

    async def _set_aside(self, lease: Lease, error: PennyweightError) -> None:
        """What nobody has seen waits for another attempt; what somebody may have seen has failed."""

        def work(connection: Connection) -> None:
            if not self._leases.release(connection, lease):
                told = {"code": "server_error", "message": error.message}
                now = int(time.time())
                Generations().finish(connection, lease, to=State.FAILED, now=now, error=told)

        with suppress(PennyweightError):  # its lease runs out then
            await self._desk.database.write(work, at="generation.set_aside")
        self._desk.bell.ring(lease.generation_id)

    async def _answer(self, generation: Generation, lease: Lease, usage: GenerationUsage) -> None:
        maker = await self._desk.database.read(
            lambda c: maker_of(c, generation.project_id, generation.key_id)
        )
        stop = maker.stop(generation.kind, self._works[generation.kind].scopes(generation))
        if stop is not None:
            await self._refuse(lease, stop)
            return
        claimed = Claimed(
            lease=lease,
            principal=maker.principal,
            account=partial(usage.account, maker.principal),
            told=partial(self._desk.bell.ring, generation.id),
        )
        answering = asyncio.create_task(self._works[generation.kind].answer(generation, claimed))
        keeping = asyncio.create_task(self._keep(lease))
        try:
            await asyncio.wait((answering, keeping), return_when=asyncio.FIRST_COMPLETED)
            if keeping.done():
                keeping.result()
            await answering
        finally:
            for task in (answering, keeping):
                task.cancel()
            await asyncio.gather(answering, keeping, return_exceptions=True)

    async def _refuse(self, lease: Lease, stop: Stop) -> None:
        """It fails, under the code of clients' that says: not again in this form."""
        told, now = {"code": "invalid_prompt", "message": stop.message}, int(time.time())
        await self._desk.database.write(
            lambda c: Generations().finish(c, lease, to=State.FAILED, now=now, error=told),
            at="generation.ended",
        )
        self._desk.bell.ring(lease.generation_id)

    async def _keep(self, lease: Lease) -> None:
        """Renew the lease for as long as it is ours. Raises LeaseLostError."""
        while True:
            await asyncio.sleep(_RENEWED_S)
            try:
                await self._desk.database.write(
                    lambda c: self._leases.renew(c, lease, now=int(time.time()), lease_s=LEASE_S),
                    at="generation.renewed",
                )
            except LeaseLostError:
                raise
            except PennyweightError as error:  # there is time until the lease ends
                _log.warning("a lease cannot be renewed: %s", error.message)

    async def _release(self, lease: Lease) -> None:
        with suppress(PennyweightError):
            await self._desk.database.write(
                lambda c: self._leases.release(c, lease), at="generation.released"
            )
