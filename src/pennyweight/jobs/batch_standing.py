"""Whether a batch may go on, asked before every line: its state, its maker's key and project, their limits.

What was allowed when the batch was made or claimed may not be any more. Asking costs microseconds while
nobody writes to the database (`ChangeStamp`), and one read after somebody has.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.answers.scopes import MODEL_REQUEST
from pennyweight.jobs.maker import maker_of
from pennyweight.store.batch_claims import BatchClaims

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.jobs.maker import Maker, Stop
    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.batches import Batch
    from pennyweight.store.change_stamp import ChangeStamp
    from pennyweight.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A batch as it was at one moment, and who made it."""

    batch: Batch
    maker: Maker

    @property
    def stop(self) -> Stop | None:
        """Why nothing more may be asked at this moment; None: go on."""
        return self.maker.stop("batch", (MODEL_REQUEST,))


class BatchStanding:
    """`now` tells how the batch of one lease stands; used on one event loop."""

    def __init__(self, database: Database, stamp: ChangeStamp, lease: BatchLease) -> None:
        self._database = database
        self._stamp = stamp
        self._lease = lease
        self._claims = BatchClaims()
        self._gate = asyncio.Lock()  # lines that ask at the same time share one read
        self._num_reads = 0
        self._known: Standing | None = None
        self._known_at: int | None = None  # by the stamp

    async def now(self) -> Standing:
        """Raises LeaseLostError, UnavailableError."""
        num_reads = self._num_reads
        async with self._gate:
            stamp = self._stamp.now()  # before reading: what changes meanwhile is read again
            begun_since = self._num_reads > num_reads
            unchanged = stamp is not None and stamp == self._known_at
            if self._known is None or not (begun_since or unchanged):
                self._num_reads += 1
                self._known = await self._database.read(self._read)
                self._known_at = stamp
            return self._known

    def _read(self, connection: Connection) -> Standing:
        batch = self._claims.read(connection, self._lease)
        return Standing(batch=batch, maker=maker_of(connection, batch.project_id, batch.key_id))
