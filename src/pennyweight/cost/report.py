"""Usage summed for people: by day, model, key, project or any other dimension, with a total."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pennyweight.cost.prices import PICODOLLARS
from pennyweight.store.usage import UsageQuery, UsageRows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pennyweight.store.usage import Dimension, UsageSum

DAY: Final = "day"
COLUMNS: Final[Mapping[str, Dimension]] = {
    "project": "project_id",
    "key": "key_id",
    "model": "model",
    "endpoint": "endpoint",
    "kind": "kind",
    "batch": "batch",
    "outcome": "outcome",
}
"""What `by` may name beside the day, and the dimension it stands for."""
_DAY_S: Final = 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """`of` has a text for each of the report's `by`; `price` is in picodollars, `cpu_s` in seconds."""

    of: tuple[str, ...]
    requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    cpu_s: float
    price: int

    @property
    def dollars(self) -> float:
        """The price in dollars, for showing it."""
        return self.price / PICODOLLARS


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Requests that ended in [since, until), seconds since 1970. `total` has no `of`."""

    since: int
    until: int
    by: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    total: ReportRow

    @property
    def span_s(self) -> int:
        """How long the time is."""
        return self.until - self.since


def read_report(connection: Connection, *, since: int, until: int, by: Sequence[str]) -> Report:
    """`by` has `DAY` and names of `COLUMNS`, in the order they are shown. The database does the sums."""
    query = UsageQuery(
        start=since,
        end=until,
        width_s=_DAY_S if DAY in by else None,
        by=tuple(COLUMNS[name] for name in by if name != DAY),
    )
    sums = UsageRows().sums(connection, query)
    rows = tuple(_row(item, tuple(_text(item, name) for name in by)) for item in sums)
    return Report(since=since, until=until, by=tuple(by), rows=rows, total=_total(rows))


def _text(item: UsageSum, name: str) -> str:
    if name == DAY:
        return datetime.fromtimestamp(item.start, UTC).strftime("%Y-%m-%d")
    value = item.of[COLUMNS[name]]
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else value


def _row(item: UsageSum, of: tuple[str, ...]) -> ReportRow:
    return ReportRow(
        of=of,
        requests=item.num_requests,
        prompt_tokens=item.prompt_tokens,
        cached_tokens=item.cached_tokens,
        completion_tokens=item.completion_tokens,
        cpu_s=item.cpu_us / 1e6,
        price=item.price,
    )


def _total(rows: Sequence[ReportRow]) -> ReportRow:
    return ReportRow(
        of=(),
        requests=sum(row.requests for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        cached_tokens=sum(row.cached_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        cpu_s=sum(row.cpu_s for row in rows),
        price=sum(row.price for row in rows),
    )
