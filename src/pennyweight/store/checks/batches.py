"""Batches: counts agree with the rows of their lines, states with their times, and work with its input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Integer, cast, func, select

from pennyweight.store.batches import BatchState
from pennyweight.store.tables.batches import batch_lines, batches
from pennyweight.store.tables.blobs import blob_uses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import RowMapping

    from pennyweight.store.checks.check import Finding, Scope

_ENDED = frozenset(
    {BatchState.FAILED, BatchState.COMPLETED, BatchState.EXPIRED, BatchState.CANCELLED},
)
_STATES = frozenset(BatchState)


def check_batches(scope: Scope) -> Iterator[Finding]:
    """While it runs each done line has one row; at its end the rows are gone and the counts stay."""
    line = batch_lines.c
    succeeded = func.sum(cast(line.succeeded, Integer))
    counted = select(line.batch_id, func.count(), succeeded).group_by(line.batch_id)
    rows = {batch: (num, good) for batch, num, good in scope.connection.execute(counted)}
    owners = scope.connection.execute(select(blob_uses.c.project_id, blob_uses.c.owner_id))
    inputs = {(project_id, owner_id) for project_id, owner_id in owners}
    for batch in scope.connection.execute(select(batches)).mappings():
        num, good = rows.get(batch["id"], (0, 0))
        has_input = (batch["project_id"], batch["id"]) in inputs
        for problem in _problems(batch, num, good, has_input=has_input):
            yield f"{batch['id']} {problem}"


def _problems(batch: RowMapping, num_rows: int, num_good: int, *, has_input: bool) -> Iterator[str]:
    state, completed, failed = batch["state"], batch["num_completed"], batch["num_failed"]
    if state not in _STATES:
        yield f"is in an unknown state, {state!r}"
        return
    if state != BatchState.VALIDATING and batch[f"{state}_at"] is None:
        yield f"is {state} and does not say since when"
    if completed + failed > batch["num_lines"]:
        yield f"has {completed} completed and {failed} failed of {batch['num_lines']} lines"
    if state in _ENDED:
        yield from _leftovers(batch, num_rows, has_input)
    else:
        if (completed, failed) != (num_good, num_rows - num_good):
            found = f"{num_good} completed and {num_rows - num_good} failed"
            yield f"counts {completed} completed and {failed} failed lines, its rows say {found}"
        if not has_input:
            yield "is under way without its input"


def _leftovers(batch: RowMapping, num_rows: int, has_input: bool) -> Iterator[str]:
    state: Any = batch["state"]
    if num_rows:
        yield f"is {state} and has {num_rows} rows of lines left"
    if has_input:
        yield f"is {state} and still holds its input"
    if state == BatchState.COMPLETED and batch["num_completed"] + batch["num_failed"] != batch["num_lines"]:
        yield "is completed, and not all its lines are done"
