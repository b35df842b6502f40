"""Limits and what was spent against them: of keys and projects that exist, and amounts that can be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, union_all

from pennyweight.store.tables.keys import allowances, api_keys, spending
from pennyweight.store.tables.projects import projects

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Row

    from pennyweight.store.checks.check import Finding, Scope

_PERIOD: Final = re.compile(r"\d{4}-(0[1-9]|1[0-2])|total")
_LIMITS: Final = ("requests_per_minute", "tokens_per_minute", "budget", "training_tokens")


def check_limits(scope: Scope) -> Iterator[Finding]:
    """What limits nothing has no row; nobody spends less than nothing."""
    ids = union_all(select(api_keys.c.id), select(projects.c.id))
    subjects = set(scope.connection.execute(ids).scalars())
    for row in scope.connection.execute(select(allowances)):
        for problem in _of_limits(row, subjects):
            yield f"the limits of {row.subject} {problem}"
    for row in scope.connection.execute(select(spending)):
        for problem in _of_spending(row, subjects):
            yield f"what {row.subject} spent in {row.period} {problem}"


def _of_limits(row: Row[Any], subjects: set[str]) -> Iterator[str]:
    if row.subject not in subjects:
        yield "are of no key and no project"
    amounts = [row._mapping[name] for name in _LIMITS]
    if amounts == [None] * len(_LIMITS):
        yield "limit nothing"
    if any(amount is not None and amount < 0 for amount in amounts):
        yield "are below nothing"
    if row.budget_period not in ("month", "total"):
        yield f"are for an unknown period, {row.budget_period!r}"


def _of_spending(row: Row[Any], subjects: set[str]) -> Iterator[str]:
    if row.subject not in subjects:
        yield "is of no key and no project"
    if not _PERIOD.fullmatch(row.period):
        yield "is in no month"
    if row.amount < 0:
        yield f"is {row.amount}"
