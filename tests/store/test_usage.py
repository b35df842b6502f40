"""Usage rows: kept once, summed by the database along every dimension, forgotten by age."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, get_args

import pytest

from pennyweight.store.usage import Dimension, UsageQuery, UsageRow, UsageRows, UsageSum
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from pennyweight.store.database import Database

ROWS = UsageRows()
HOUR, DAY = 3600, 86400
NOON = 1_800_014_400  # 2027-01-15 12:00 UTC


def row(number: int, **fields: Any) -> UsageRow:
    values: dict[str, Any] = {
        "request_id": f"req_{number}",
        "ended_at": NOON,
        "project_id": "default",
        "kind": "completions",
        "endpoint": "/v1/chat/completions",
        "outcome": "completed",
        "status": 200,
        "model": "small",
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "price": 4_500_000,
    }
    return UsageRow(**values | fields)


def sums(database: Database, **query: Any) -> list[UsageSum]:
    wanted = UsageQuery(**{"start": 0, "end": 2 * NOON} | query)
    return database.read_now(lambda c: ROWS.sums(c, wanted))


def keep(database: Database, *rows: UsageRow) -> None:
    database.write_now(lambda c: ROWS.add(c, rows))


def test_a_row_comes_back_as_it_was(database: Database) -> None:
    full = row(
        1,
        key_id="key_a",
        model_asked="gpt-4o-mini",
        batch=True,
        cached_tokens=3,
        accepted_prediction_tokens=2,
        rejected_prediction_tokens=1,
        queue_ms=1,
        ttft_ms=0,
        total_ms=2**40,
        cpu_us=7,
        price=2**60,
    )
    keep(database, full, row(2, model=None, outcome="refused", status=400))
    assert database.read_now(lambda c: kept_usage(c, "default"))[0] == full
    assert database.read_now(lambda c: kept_usage(c, "other")) == []


def test_a_request_counts_once_however_often_it_is_written(database: Database) -> None:
    keep(database, row(1), row(2))
    keep(database, row(2), row(3))
    keep(database)
    (whole,) = sums(database)
    assert whole.num_requests == 3
    assert (whole.prompt_tokens, whole.completion_tokens, whole.price) == (30, 15, 13_500_000)


def test_runs_of_time_are_aligned_and_cut_to_what_was_asked(database: Database) -> None:
    keep(database, *(row(i, ended_at=NOON + i * 600) for i in range(12)))
    found = sums(database, start=NOON + 600, end=NOON + 2 * HOUR - 600, width_s=HOUR)
    assert [(item.start, item.num_requests) for item in found] == [(NOON + 600, 5), (NOON + HOUR, 5)]


def test_nothing_is_no_sum(database: Database) -> None:
    keep(database, row(1))
    assert sums(database, end=NOON) == []
    assert [item.num_requests for item in sums(database, start=NOON, end=NOON + 1)] == [1]


def test_refused_requests_are_counted_but_reached_no_model(database: Database) -> None:
    outcomes = ("completed", "left", "failed", "limited", "refused")
    keep(database, *(row(i, outcome=outcome) for i, outcome in enumerate(outcomes)))
    (whole,) = sums(database)
    assert (whole.num_requests, whole.num_model_requests) == (5, 3)


@pytest.mark.parametrize("dimension", get_args(Dimension))
def test_every_dimension_groups_and_filters(database: Database, dimension: str) -> None:
    values: list[str | bool | None] = [True, False, True] if dimension == "batch" else ["b", "a", "b"]
    if dimension in ("key_id", "model"):
        values.append(None)
    keep(database, *(row(i, **{dimension: value}) for i, value in enumerate(values)))
    found = sums(database, by=(dimension,))
    assert Counter({item.of[dimension]: item.num_requests for item in found}) == Counter(values)
    (only,) = sums(database, filters={dimension: [values[0]]})
    assert only.num_requests == 2


def test_groups_multiply(database: Database) -> None:
    keep(
        database, *(row(i, model="ab"[i % 2], batch=i < 2, ended_at=NOON + DAY * (i // 4)) for i in range(8))
    )
    found = sums(database, by=("model", "batch"), width_s=DAY)
    told = [(item.of["model"], item.of["batch"], item.num_requests) for item in found]
    assert told == [
        ("a", False, 1),
        ("a", True, 1),
        ("b", False, 1),
        ("b", True, 1),
        ("a", False, 2),
        ("b", False, 2),
    ]


def test_old_rows_are_forgotten(database: Database) -> None:
    keep(database, row(1, ended_at=NOON - 1), row(2, ended_at=NOON))
    assert database.write_now(lambda c: ROWS.forget(c, before=NOON)) == 1
    assert [item.num_requests for item in sums(database)] == [1]
