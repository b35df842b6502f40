"""The repository of what was spent against budgets, per subject (a key or a project) and period."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import insert, select, update

from pennyweight.store.tables.keys import spending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection


class Spending:
    """Amounts are picodollars; a place is a subject and a period (`2026-11`, or `total`)."""

    def of(self, connection: Connection, places: Sequence[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """What was spent in each of `places`."""
        spent = {}
        for subject, period in places:
            which = (spending.c.subject == subject) & (spending.c.period == period)
            spent[subject, period] = connection.execute(select(spending.c.amount).where(which)).scalar() or 0
        return spent

    def add(self, connection: Connection, amounts: Mapping[tuple[str, str], int]) -> None:
        """Add to each place."""
        for (subject, period), amount in amounts.items():
            which = (spending.c.subject == subject) & (spending.c.period == period)
            more = update(spending).where(which).values(amount=spending.c.amount + amount)
            if connection.execute(more).rowcount == 0:
                connection.execute(insert(spending).values(subject=subject, period=period, amount=amount))
