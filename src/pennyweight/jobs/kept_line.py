"""What is written of one answered line: its row, and its usage, in one transaction."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import Timings
from pennyweight.cost.usage import Asked, AskedModel, Ended, refused_as, usage_row
from pennyweight.store.batch_work import BatchWork, LineRow
from pennyweight.store.usage import UsageRows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pennyweight.cost.prices import Kind, Prices
    from pennyweight.jobs.batch_line import BatchLine
    from pennyweight.jobs.line_result import LineResult
    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.batches import Batch
    from pennyweight.store.database import Database
    from pennyweight.store.usage import UsageRow


@dataclass(frozen=True, slots=True)
class KeptLine:
    """One answered line and its usage, on the way to the database."""

    row: LineRow
    usage: UsageRow


def kept_line(batch: Batch, line: BatchLine, result: LineResult, prices: Prices) -> KeptLine:
    """What is written of `line`, which was answered now."""
    row = LineRow(line=line.number, succeeded=result.succeeded, result=result.line(), usage=result.usage)
    asked = Asked(
        request_id=result.request_id,
        project=batch.project_id,
        key=batch.key_id,
        kind=kind_of(line.url),
        endpoint=line.url,
        model=None if result.model is None else AskedModel(asked=line.model, ran=result.model),
        batch=True,
    )
    ended = Ended(
        at=time.time(),
        outcome=refused_as(result.status) or "completed",
        status=result.status,
        total_s=result.seconds,
        usage=result.usage,
        timings=result.timings or Timings(),
    )
    return KeptLine(row, usage_row(asked, ended, prices))


async def keep_lines(database: Database, lease: BatchLease, lines: Sequence[KeptLine]) -> None:
    """Write `lines`, all or none. Raises LeaseLostError, StorageFullError."""

    def both(connection: Connection) -> None:
        BatchWork().add_lines(connection, lease, [kept.row for kept in lines])
        UsageRows().add(connection, [kept.usage for kept in lines])

    await database.write(both, at="batch.lines")


def kind_of(url: str) -> Kind:
    """By which price list a line is paid."""
    return "embeddings" if url == "/v1/embeddings" else "completions"
