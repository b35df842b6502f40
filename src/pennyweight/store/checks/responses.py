"""Responses: what is told of an answer is what is stored of it, and chains stay in their project."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sqlalchemy import select

from pennyweight.store.generation import State
from pennyweight.store.items import Items
from pennyweight.store.tables.generations import generations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.checks.check import Finding, Scope

_ANSWERED = (State.COMPLETED, State.INCOMPLETE)


def check_responses(scope: Scope) -> Iterator[Finding]:
    """A continuation reads the items, a retrieval the object: they must be the same answer."""
    answered = select(generations.c.id, generations.c.project_id, generations.c.result).where(
        generations.c.kind == "response",
        generations.c.state.in_(_ANSWERED),
        generations.c.result.is_not(None),
    )
    for row in scope.connection.execute(answered, execution_options={"yield_per": 1000}):
        kept = [item.id for item in Items().of(scope.connection, row.project_id, row.id, "output")]
        if kept != _told(row.result):
            yield f"{row.id} tells another output than its items"
    child, parent = generations.alias(), generations.alias()
    strangers = (
        select(child.c.id)
        .join(parent, parent.c.id == child.c.parent_id)
        .where(parent.c.project_id != child.c.project_id)
    )
    for own_id in scope.connection.execute(strangers).scalars():
        yield f"{own_id} continues what belongs to another project"


def _told(result: str) -> list[str]:
    """The ids of the output; a text that is no JSON is found elsewhere."""
    try:
        output = json.loads(result).get("output", [])
        return [item["id"] for item in output]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
