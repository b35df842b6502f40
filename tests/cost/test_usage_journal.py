"""Rows reach the database by themselves, at the end at the latest; a full disk delays them, visibly."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import pytest

from pennyweight.cost.usage_journal import UsageJournal
from pennyweight.errors import StorageFullError
from pennyweight.store.database import Database
from pennyweight.store.usage import UsageRow
from tests.server.live import PATIENCE_S, eventually
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sqlalchemy import Connection

T = TypeVar("T")


def row(number: int) -> UsageRow:
    return UsageRow(
        request_id=f"req_{number}",
        ended_at=1_800_000_000,
        project_id="default",
        kind="completions",
        endpoint="/v1/chat/completions",
        outcome="completed",
        status=200,
    )


class FailingDisk(Database):
    """A real database whose disk is full whenever the test says so."""

    full = False

    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        self.tried = threading.Semaphore(0)

    def write_now(self, work: Callable[[Connection], T], *, at: str) -> T:
        self.tried.release()
        if self.full:
            raise StorageFullError("disk full")
        return super().write_now(work, at=at)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[FailingDisk]:
    with FailingDisk.open(f"sqlite:///{tmp_path}/usage.db") as database:
        yield database


def kept(database: Database) -> list[str]:
    rows = database.read_now(lambda link: kept_usage(link, "default"))
    return [row.request_id for row in rows]


def test_a_row_that_no_database_takes_is_lost_alone(
    database: FailingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    journal = UsageJournal(database, interval_s=0.001)
    for number, tokens in enumerate((5, 2**70, 7)):
        journal.add(replace(row(number), prompt_tokens=tokens))
    journal.close()
    assert kept(database) == ["req_0", "req_2"]
    assert "the usage of request req_1 cannot be written" in caplog.text


def test_rows_are_written_without_being_asked_for(database: FailingDisk) -> None:
    journal = UsageJournal(database, interval_s=0.001)
    for number in range(3):
        journal.add(row(number))
    eventually(lambda: not journal.num_waiting)
    assert kept(database) == ["req_0", "req_1", "req_2"]
    journal.close()


def test_what_is_left_is_written_at_the_end(database: FailingDisk) -> None:
    journal = UsageJournal(database, interval_s=1000)
    for number in range(5000):  # more than one transaction takes
        journal.add(row(number))
    journal.close()
    journal.close()
    assert len(kept(database)) == 5000


def test_a_full_disk_delays_rows_and_in_the_end_refuses_work(
    database: FailingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    database.full = True
    journal = UsageJournal(database, interval_s=0.001, most_waiting=3)
    journal.add(row(0))
    journal.add(row(1))
    for _ in range(3):
        assert database.tried.acquire(timeout=PATIENCE_S)
    assert journal.failure == "disk full"
    journal.check()
    journal.add(row(2))
    with pytest.raises(StorageFullError):
        journal.check()
    database.full = False
    eventually(lambda: not journal.num_waiting)
    journal.close()
    journal.check()
    assert journal.failure is None
    assert kept(database) == ["req_0", "req_1", "req_2"]
    failed, mended = [record.message for record in caplog.records]
    assert failed == "usage cannot be written and is kept in memory for now: disk full"
    assert mended == "usage is written again"


def test_what_could_not_be_written_to_the_end_is_told(
    database: FailingDisk, caplog: pytest.LogCaptureFixture
) -> None:
    database.full = True
    journal = UsageJournal(database)
    journal.add(row(0))
    journal.close()
    assert "1 requests are missing from usage: disk full" in caplog.text
