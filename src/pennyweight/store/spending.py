"""The repository of what was spent against budgets, per subject (a key or a project) and period.

Each run of a server has a row of its own and writes its total into it, never a difference: writing twice, or
not knowing whether a commit came through, changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, insert, select, update

from pennyweight.store.tables.keys import spending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    Place = tuple[str, str]


class Spending:
    """Amounts are picodollars; a place is a subject and a period (`2026-11`, or `total`)."""

    def of(
        self, connection: Connection, places: Sequence[Place], *, other_than: str = ""
    ) -> dict[Place, int]:
        """What was spent in each of `places` by all runs but `other_than`."""
        of, spent = spending.c, {}
        for subject, period in places:
            which = (of.subject == subject) & (of.period == period) & (of.run != other_than)
            amount = connection.execute(select(func.sum(of.amount)).where(which)).scalar()
            spent[subject, period] = int(amount or 0)
        return spent

    def put(self, connection: Connection, run: str, totals: Mapping[Place, int]) -> None:
        """What `run` has spent in each place since its start; a smaller total than the one there is old."""
        of = spending.c
        for (subject, period), total in totals.items():
            own = (of.subject == subject) & (of.period == period) & (of.run == run)
            before = connection.execute(select(of.amount).where(own)).scalar()
            if before is None:
                values = {"subject": subject, "period": period, "run": run, "amount": total}
                connection.execute(insert(spending).values(values))
            elif before < total:
                connection.execute(update(spending).where(own).values(amount=total))
