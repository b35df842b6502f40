"""The repository of usage: rows are added, summed by the database, and forgotten by age; never changed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from pennyweight.store.tables.usage import usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection

Outcome = Literal["completed", "left", "failed", "limited", "refused"]
"""Answered; the client went away; we failed; a limit or a budget; the request could not be honoured."""

VECTOR_STORES: Final = "vector_stores"
"""Texts embedded to be found, of files and of queries: work with tokens, and nobody's request."""

KINDS: Final = ("completions", "embeddings", VECTOR_STORES, "training")
"""What a row is priced and reported as."""

REACHED_A_MODEL: Final = ("completed", "left", "failed")
"""The outcomes of requests that a model worked for, or would have."""

Dimension = Literal["project_id", "key_id", "kind", "endpoint", "model", "batch", "outcome"]
"""What usage can be told apart by, and filtered by."""

_SUMS: Final = (
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "accepted_prediction_tokens",
    "rejected_prediction_tokens",
    "total_ms",
    "cpu_us",
    "price",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """One request. `ended_at` in seconds since 1970, `price` in picodollars; None: it came not so far."""

    request_id: str
    ended_at: int
    project_id: str
    kind: str
    endpoint: str
    outcome: Outcome
    status: int
    key_id: str | None = None
    model_asked: str | None = None
    model: str | None = None
    batch: bool = False
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0
    queue_ms: int | None = None
    ttft_ms: int | None = None
    total_ms: int = 0
    cpu_us: int = 0
    price: int = 0


_COLUMNS: Final = tuple(each.name for each in fields(UsageRow))


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageQuery:
    """Requests that ended in [start, end), seconds since 1970, whose `filters` hold: a value among each.

    `width_s` sums by runs of as many seconds, aligned to 1970; None sums over all of the time.
    """

    start: int
    end: int
    width_s: int | None = None
    by: tuple[Dimension, ...] = ()
    filters: Mapping[Dimension, Sequence[str | bool]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """`start` is that of the run of seconds; `of` has a value for each dimension of the query's `by`.

    `num_requests` are all that people made; `num_model_requests` those of them that reached a model.
    """

    start: int
    of: Mapping[Dimension, str | bool | None]
    num_requests: int
    num_model_requests: int
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    accepted_prediction_tokens: int
    rejected_prediction_tokens: int
    total_ms: int
    cpu_us: int
    price: int


class UsageRows:
    """Everything SQL about usage."""

    def add(self, connection: Connection, rows: Iterable[UsageRow]) -> None:
        """Keep `rows`; one whose request has a row already stays uncounted."""
        values = [{name: getattr(row, name) for name in _COLUMNS} for row in rows]
        if not values:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(postgresql.insert(usage).on_conflict_do_nothing(), values)
        else:
            connection.execute(sqlite.insert(usage).on_conflict_do_nothing(), values)

    def sums(self, connection: Connection, query: UsageQuery) -> list[UsageSum]:
        """In the order of time, then of the dimensions."""
        groups: list[ColumnElement[Any]] = [usage.c[name].label(name) for name in query.by]
        if query.width_s is not None:
            run = usage.c.ended_at - usage.c.ended_at % query.width_s
            groups.insert(0, run.label("start"))
        found = connection.execute(
            select(
                *groups,
                func.count().label("num_rows"),
                _number_of(_ASKED).label("num_requests"),
                _number_of(_ASKED & usage.c.outcome.in_(REACHED_A_MODEL)).label("num_model_requests"),
                *(func.sum(usage.c[name]).label(name) for name in _SUMS),
            )
            .where(*_conditions(query))
            .group_by(*groups)
            .order_by(*groups)
        )
        rows = [row._asdict() for row in found]
        return [_sum(row, query) for row in rows if row["num_rows"]]

    def forget(self, connection: Connection, *, before: int) -> int:
        """Delete the rows that ended before `before`; how many there were."""
        return connection.execute(delete(usage).where(usage.c.ended_at < before)).rowcount


_ASKED: Final = usage.c.kind != VECTOR_STORES


def _number_of(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.sum(case((condition, 1), else_=0))


def _conditions(query: UsageQuery) -> list[ColumnElement[bool]]:
    time = [usage.c.ended_at >= query.start, usage.c.ended_at < query.end]
    return time + [usage.c[name].in_(values) for name, values in query.filters.items()]


def _sum(row: Mapping[str, Any], query: UsageQuery) -> UsageSum:
    # PostgreSQL sums whole numbers to decimal ones.
    counts = {name: int(row[name]) for name in ("num_requests", "num_model_requests", *_SUMS)}
    start = query.start if query.width_s is None else max(query.start, row["start"])
    return UsageSum(start=start, of={name: row[name] for name in query.by}, **counts)
