"""How much a project and a key may train in a calendar month, counted from the jobs themselves.

Jobs under way count with what they will train, so that two of them do not share what is left.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pennyweight.errors import InsufficientQuotaError
from pennyweight.store.tuning_jobs import TuningJobs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection

    from pennyweight.core import Allowance


def training_left(
    connection: Connection, allowances: Iterable[Allowance], *, now: int, but: str = ""
) -> int | None:
    """Tokens that may still be trained this month (UTC), the job `but` left aside; None: no limit.

    Raises InsufficientQuotaError if there are none.
    """
    jobs, since = TuningJobs(), _month_start(now)
    left: int | None = None
    for allowance in allowances:
        limit = allowance.training_tokens
        if limit is None:
            continue
        used = jobs.tokens_used(connection, allowance.subject, since=since, but=but)
        if used >= limit:
            raise _refusal(allowance.subject, limit, used)
        left = limit - used if left is None else min(left, limit - used)
    return left


def _month_start(now: int) -> int:
    month = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return int(month.timestamp())


def _refusal(subject: str, limit: int, used: int) -> InsufficientQuotaError:
    return InsufficientQuotaError(
        f"You exceeded your current quota: {subject} may train {limit} tokens this month, and {used} are "
        "trained or planned. Ask whoever runs this server for more, or cancel a job."
    )
