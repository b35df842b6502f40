"""The end of a batch: its files put together from the rows of its lines, with its last state, or nothing."""

from __future__ import annotations

import heapq
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

from pennyweight.store.batch_work import BatchWork, WrittenFile
from pennyweight.store.batches import BatchState
from pennyweight.store.files import StoredFile
from pennyweight.store.identifiers import new_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.batches import Batch
    from pennyweight.store.blob import Blob
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database

    NumberedLine = tuple[int, bytes]

_ROWS: Final = 100  # results read at a time
_NO_LIMIT: Final = 2**62


class BatchEnding:
    """Of one claimed batch. Blocks: for a thread of its own. Raises LeaseLostError, StorageFullError."""

    def __init__(self, database: Database, blobs: BlobStore, batch: Batch, lease: BatchLease) -> None:
        self._database = database
        self._blobs = blobs
        self._batch = batch
        self._lease = lease
        self._work = BatchWork()

    def enter(
        self,
        state: BatchState,
        *,
        problems: Sequence[Mapping[str, object]] = (),
        missing: Iterable[NumberedLine] = (),
        num_missing: int = 0,
    ) -> None:
        """Write the files and enter `state`. `missing` are lines of the error file for lines never run."""
        with ExitStack() as stack:
            output = self._written(stack, "output", self._rows(succeeded=True))
            rows = heapq.merge(self._rows(succeeded=False), missing, key=lambda row: row[0])
            errors = self._written(stack, "error", rows)
            unused = self._database.write_now(
                lambda connection: self._work.end(
                    connection,
                    self._lease,
                    state,
                    now=int(time.time()),
                    output=output,
                    errors=errors,
                    problems=problems,
                    num_never_run=num_missing,
                ),
                at="batch.ended",
            )
        self._collect(unused)

    def give_up(self, problems: Sequence[Mapping[str, object]]) -> None:
        """Enter `failed` without files: for when writing them is what fails."""
        now = int(time.time())
        self._collect(
            self._database.write_now(
                lambda connection: self._work.end(
                    connection, self._lease, BatchState.FAILED, now=now, problems=problems
                ),
                at="batch.given_up",
            )
        )

    def _collect(self, blobs: Iterable[Blob]) -> None:
        for blob in blobs:
            self._blobs.collect(blob)

    def _written(self, stack: ExitStack, kind: str, rows: Iterator[NumberedLine]) -> WrittenFile | None:
        """A file of `rows`, durable but not yet anybody's; None for none."""
        first = next(rows, None)
        if first is None:
            return None
        batch, now = self._batch, int(time.time())
        incoming = stack.enter_context(self._blobs.receive(batch.project_id, max_bytes=_NO_LIMIT))
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

    def _rows(self, *, succeeded: bool) -> Iterator[NumberedLine]:
        after = 0
        while rows := self._database.read_now(
            lambda c, after=after: self._work.lines(  # type: ignore[misc]
                c, self._lease, succeeded=succeeded, after=after, limit=_ROWS
            )
        ):
            yield from rows
            after = rows[-1][0]
