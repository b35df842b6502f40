"""Whether a batch may go on, asked before every line: its state, its maker's key and project, their limits.

What was allowed when the batch was made or claimed may not be any more. Asking costs microseconds while
nobody writes to the database (`ChangeStamp`), and one read after somebody has.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.answers.principal import Principal
from pennyweight.answers.scopes import EVERY_SCOPE, MODEL_REQUEST, grants
from pennyweight.store.allowances import Allowances
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.keys import Keys
from pennyweight.store.projects import Projects

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.batches import Batch
    from pennyweight.store.change_stamp import ChangeStamp
    from pennyweight.store.database import Database
    from pennyweight.store.keys import Key


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Why nothing more is asked on behalf of a batch's maker, as `errors` of the batch tell it."""

    code: str
    message: str


_ARCHIVED: Final = Stop(code="project_archived", message="The project of this batch was archived.")
_REVOKED: Final = Stop(code="api_key_revoked", message="The API key that made this batch was revoked.")
_EXPIRED: Final = Stop(code="api_key_expired", message="The API key that made this batch has expired.")
_NARROWED: Final = Stop(
    code="insufficient_permissions",
    message=f"The API key that made this batch no longer has the scope {MODEL_REQUEST}.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A batch as it was at one moment, and who made it, with the limits of key and project."""

    batch: Batch
    principal: Principal
    is_archived: bool
    key: Key | None

    @property
    def stop(self) -> Stop | None:
        """Why nothing more may be asked at this moment; None: go on."""
        if self.is_archived:
            return _ARCHIVED
        if self.key is None:
            return None
        if self.key.revoked_at is not None:
            return _REVOKED
        if self.key.expires_at is not None and self.key.expires_at <= time.time():
            return _EXPIRED
        return None if grants(self.key.scopes, MODEL_REQUEST) else _NARROWED


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
        key = None if batch.key_id is None else Keys().find(connection, batch.key_id)
        subjects = (batch.project_id,) if key is None else (key.id, batch.project_id)
        return Standing(
            batch=batch,
            principal=Principal(
                project=batch.project_id,
                key=batch.key_id,
                scopes=EVERY_SCOPE if key is None else key.scopes,
                allowances=Allowances().of(connection, subjects),
            ),
            is_archived=Projects().get(connection, batch.project_id).archived_at is not None,
            key=key,
        )
