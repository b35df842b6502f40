"""Generations: a state that can be, with what belongs to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select

from pennyweight.store.generation import ENDED, State
from pennyweight.store.tables.generations import events, generations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row

    from pennyweight.store.checks.check import Finding, Scope

_STATES = frozenset(State)
_TEXTS = ("request", "result", "error", "metadata")


def check_generations(scope: Scope) -> Iterator[Finding]:
    """States, leases, times, JSON texts; events have a generation that began."""
    for row in scope.connection.execute(select(generations), execution_options={"yield_per": 1000}):
        for problem in _problems(row):
            yield f"{row.id} {problem}"
    begun = select(generations.c.id).where(generations.c.fence > 0)
    early = select(events.c.generation_id).distinct().where(events.c.generation_id.not_in(begun))
    for generation_id in scope.connection.execute(early).scalars():
        yield f"{generation_id} has events, but nobody ever worked on it"


def _problems(row: Row[tuple[object, ...]]) -> Iterator[str]:
    if row.state not in _STATES:
        yield f"is in an unknown state, {row.state!r}"
    if (row.state == State.IN_PROGRESS) != (row.lease_expires_at is not None):
        yield f"is {row.state} and its lease does not fit"
    if (row.state in ENDED) != (row.ended_at is not None):
        yield f"is {row.state} and its end does not fit"
    if row.state == State.COMPLETED and row.result is None:
        yield "is completed without a result"
    if row.state == State.FAILED and row.error is None:
        yield "has failed without an error"
    if row.attempt > row.fence:
        yield f"was attempted {row.attempt} times with {row.fence} leases"
    for name in _TEXTS:
        text = getattr(row, name)
        if text is not None and not is_json(text):
            yield f"has a {name} that is no JSON"


def is_json(text: str) -> bool:
    """Whether `text` is a JSON text."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
