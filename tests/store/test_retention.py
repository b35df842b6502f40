"""Retention: what is too old goes, what is not stays, and what is under way does not grow old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, select, text

from pennyweight.store.blobs import BlobStore, stored_blobs
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.retention import Housekeeper, Retention
from pennyweight.store.tables import metadata
from pennyweight.store.verify import verify
from tests.store.begun import begun
from tests.store.filled import NOW, fill

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.store.database import Database

DAY_S = 24 * 60 * 60
RETENTION = Retention(generations_days=30, events_days=1, usage_days=400)


@pytest.fixture
def blobs(tmp_path: Path, database: Database) -> BlobStore:
    return BlobStore(tmp_path, database)


def count(database: Database, name: str) -> int:
    table = metadata.tables[name]
    return database.read_now(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())


@pytest.mark.parametrize(
    ("days", "left"),
    [
        (0, {"events": 3, "generations": 3, "items": 3, "usage": 4, "idempotent_answers": 1}),
        (2, {"events": 0, "generations": 3, "items": 3, "usage": 4, "idempotent_answers": 0}),
        (31, {"events": 0, "generations": 0, "items": 3, "usage": 4}),
        (401, {"events": 0, "generations": 0, "items": 3, "usage": 0}),
    ],
)
def test_what_is_left_after_some_days(
    database: Database, blobs: BlobStore, tmp_path: Path, days: int, left: dict[str, int]
) -> None:
    """Items stay: they stand in a conversation too, which nobody has deleted."""
    fill(database, blobs)
    removed = Housekeeper(database, blobs, RETENTION).tidy(NOW + days * DAY_S + 1)
    assert {name: count(database, name) for name in left} == left
    assert (removed > 0) == (days > 0)
    assert (count(database, "conversations"), count(database, "api_keys")) == (1, 3)
    assert len(list(stored_blobs(tmp_path / "blobs"))) == 1
    findings = [verdict.name for verdict in verify(database, tmp_path) if verdict.findings]
    assert findings == (["usage"] if days > 400 else []), "lines of a batch outlive their usage"


def test_items_that_stand_nowhere_else_go_along(database: Database, blobs: BlobStore) -> None:
    fill(database, blobs)
    database.write_now(lambda c: c.execute(text("DELETE FROM conversation_items")))
    Housekeeper(database, blobs, RETENTION).tidy(NOW + 31 * DAY_S)
    assert count(database, "items") == 0


def test_one_may_have_a_time_of_its_own(database: Database, blobs: BlobStore) -> None:
    generations = Generations()

    def start(name: str, expires_at: int | None) -> None:
        new = NewGeneration(
            id=name, kind="response", model="m", request="{}", metadata={}, expires_at=expires_at
        )
        lease = database.write_now(lambda c: begun(c, "default", new, now=NOW))
        if name != "waiting":
            database.write_now(
                lambda c: generations.finish(c, lease, to=State.COMPLETED, now=NOW, result="{}")
            )

    start("short", NOW + 60)
    start("usual", None)
    start("waiting", NOW + 60)
    Housekeeper(database, blobs, RETENTION).tidy(NOW + 61)
    rows = database.read_now(
        lambda c: c.execute(text("SELECT id FROM generations ORDER BY id")).scalars().all()
    )
    assert rows == ["usual", "waiting"]


def test_many_go_in_portions(database: Database, blobs: BlobStore) -> None:
    for _ in range(80):
        fill(database, blobs)
    assert Housekeeper(database, blobs, RETENTION).tidy(NOW + 31 * DAY_S) > 240
    assert count(database, "generations") == count(database, "events") == 0


def test_the_thread_ends_when_it_is_told(database: Database, blobs: BlobStore) -> None:
    fill(database, blobs)
    housekeeper = Housekeeper(database, blobs, RETENTION).start()
    housekeeper.close()
