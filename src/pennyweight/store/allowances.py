"""The repository of limits: requests and tokens per minute, budgets and training, of keys and projects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import delete, insert, select

from pennyweight.core import Allowance
from pennyweight.store.tables.keys import allowances

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection


class Allowances:
    """At most one for each subject."""

    def of(self, connection: Connection, subjects: Sequence[str]) -> tuple[Allowance, ...]:
        """Those there are, in the order of `subjects`."""
        rows = connection.execute(select(allowances).where(allowances.c.subject.in_(subjects)))
        found = {row.subject: Allowance(**row._mapping) for row in rows}
        return tuple(found[subject] for subject in subjects if subject in found)

    def put(self, connection: Connection, allowance: Allowance) -> None:
        """Replace what the subject had."""
        connection.execute(delete(allowances).where(allowances.c.subject == allowance.subject))
        if not allowance.is_empty:
            connection.execute(
                insert(allowances).values(
                    subject=allowance.subject,
                    requests_per_minute=allowance.requests_per_minute,
                    tokens_per_minute=allowance.tokens_per_minute,
                    budget=allowance.budget,
                    budget_period=allowance.budget_period,
                    training_tokens=allowance.training_tokens,
                )
            )
