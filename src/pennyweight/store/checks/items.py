"""Items stand somewhere, in a place of their own project, and are JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from pennyweight.store.checks.generations import is_json
from pennyweight.store.tables.conversations import conversation_items, conversations, items
from pennyweight.store.tables.generations import generation_items, generations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.checks.check import Finding, Scope


def check_items(scope: Scope) -> Iterator[Finding]:
    """An item nobody can reach should have been deleted."""
    in_conversation = exists().where(conversation_items.c.item_id == items.c.id)
    in_generation = exists().where(generation_items.c.item_id == items.c.id)
    for item_id in scope.connection.execute(
        select(items.c.id).where(~in_conversation, ~in_generation)
    ).scalars():
        yield f"{item_id} stands in no conversation and in no generation"
    for row in scope.connection.execute(
        select(items.c.id, items.c.wire), execution_options={"yield_per": 1000}
    ):
        if not is_json(row.wire):
            yield f"{row.id} is no JSON"
    yield from _strangers(scope)


def _strangers(scope: Scope) -> Iterator[Finding]:
    places = (
        (conversation_items, conversations, conversation_items.c.conversation_id),
        (generation_items, generations, generation_items.c.generation_id),
    )
    for place, owner, owner_id in places:
        joined = select(items.c.id, owner_id.label("owner_id")).join(place, place.c.item_id == items.c.id)
        joined = joined.join(owner, owner.c.id == owner_id).where(owner.c.project_id != items.c.project_id)
        for row in scope.connection.execute(joined):
            yield f"{row.id} stands in {row.owner_id} of another project"
