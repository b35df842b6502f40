"""The repository of the work on a batch that was claimed: its input, answered lines, its end.

One row for each line, in the transaction that has its usage, is what makes a line answered once.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from pennyweight.store.batch_claims import BatchClaims, change
from pennyweight.store.batches import Batch, BatchState
from pennyweight.store.blob import BlobUses
from pennyweight.store.files import Files
from pennyweight.store.tables.batches import batch_lines, batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pennyweight.core import Usage
    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.blob import Blob
    from pennyweight.store.files import StoredFile


@dataclass(frozen=True, slots=True, kw_only=True)
class LineRow:
    """One answered line; `result` is its line of the output or the error file."""

    line: int
    succeeded: bool
    result: bytes
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenFile:
    """A file that a batch ends with, and its bytes."""

    file: StoredFile
    blob: Blob


class BatchWork:
    """`now` is in seconds since 1970. Every method with a lease raises LeaseLostError."""

    def __init__(self) -> None:
        self._claims = BatchClaims()
        self._uses = BlobUses()
        self._files = Files()

    def input_blob(self, connection: Connection, batch: Batch) -> Blob:
        """The bytes of the input, which stay as long as the batch is under way."""
        blob = self._uses.of(connection, batch.project_id, batch.id)
        assert blob is not None, "a batch under way has its input"
        return blob

    def begin(
        self, connection: Connection, lease: BatchLease, *, model: str, num_lines: int, now: int
    ) -> Batch:
        """The input is good. A batch that is being cancelled learns its counts and stays so."""
        change(connection, lease, {"model": model, "num_lines": num_lines})
        validating = (batches.c.id == lease.batch_id) & (batches.c.state == BatchState.VALIDATING)
        values = {"state": BatchState.IN_PROGRESS, "in_progress_at": now}
        connection.execute(update(batches).where(validating).values(**values))
        return self._claims.read(connection, lease)

    def done_lines(self, connection: Connection, lease: BatchLease) -> set[int]:
        """Numbers of the lines that have a row."""
        chosen = select(batch_lines.c.line).where(batch_lines.c.batch_id == lease.batch_id)
        return set(connection.execute(chosen).scalars())

    def add_lines(self, connection: Connection, lease: BatchLease, rows: Sequence[LineRow]) -> None:
        """Each line once, in the transaction that has its usage too. Raises LeaseLostError."""
        succeeded = sum(row.succeeded for row in rows)
        values = {
            "num_completed": batches.c.num_completed + succeeded,
            "num_failed": batches.c.num_failed + len(rows) - succeeded,
            "prompt_tokens": batches.c.prompt_tokens + sum(row.usage.prompt_tokens for row in rows),
            "cached_tokens": batches.c.cached_tokens + sum(row.usage.cached_tokens for row in rows),
            "completion_tokens": batches.c.completion_tokens
            + sum(row.usage.completion_tokens for row in rows),
        }
        change(connection, lease, values)
        connection.execute(
            insert(batch_lines),
            [
                {
                    "batch_id": lease.batch_id,
                    "line": row.line,
                    "succeeded": row.succeeded,
                    "result": row.result,
                }
                for row in rows
            ],
        )

    def lines(
        self, connection: Connection, lease: BatchLease, *, succeeded: bool, after: int, limit: int
    ) -> Sequence[tuple[int, bytes]]:
        """Up to `limit` results in the order of the lines, those behind line `after`."""
        chosen = (
            select(batch_lines.c.line, batch_lines.c.result)
            .where(
                batch_lines.c.batch_id == lease.batch_id,
                batch_lines.c.succeeded == succeeded,
                batch_lines.c.line > after,
            )
            .order_by(batch_lines.c.line)
            .limit(limit)
        )
        return [(row.line, row.result) for row in connection.execute(chosen)]

    def finalize(self, connection: Connection, lease: BatchLease, *, now: int) -> Batch:
        """All lines are done. A batch that is being cancelled stays so. Raises LeaseLostError."""
        running = (batches.c.id == lease.batch_id) & (batches.c.state == BatchState.IN_PROGRESS)
        values = {"state": BatchState.FINALIZING, "finalizing_at": now}
        connection.execute(update(batches).where(running).values(**values))
        return self._claims.read(connection, lease)

    def end(
        self,
        connection: Connection,
        lease: BatchLease,
        state: BatchState,
        *,
        now: int,
        output: WrittenFile | None = None,
        errors: WrittenFile | None = None,
        problems: Sequence[Any] = (),
        num_never_run: int = 0,
    ) -> list[Blob]:
        """Enter the last state, with the files written. What is returned goes to `BlobStore.collect`."""
        batch = self._claims.read(connection, lease)
        for written in (output, errors):
            if written is not None:
                self._files.add(connection, written.file, written.blob)
        values = {
            "state": state,
            f"{state}_at": now,
            "output_file_id": None if output is None else output.file.id,
            "error_file_id": None if errors is None else errors.file.id,
            "errors": json.dumps(list(problems)) if problems else None,
            "num_failed": batch.num_failed + num_never_run,
            "lease_owner": None,
            "lease_expires_at": None,
        }
        change(connection, lease, values)
        connection.execute(delete(batch_lines).where(batch_lines.c.batch_id == lease.batch_id))
        return self._uses.drop(connection, batch.project_id, batch.id)
