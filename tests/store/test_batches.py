"""Files and batches in the store: projects do not see each other, and an outlived worker changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from pennyweight.core import Usage
from pennyweight.errors import NotFoundError
from pennyweight.store.batch_work import BatchWork, LeaseLostError, LineRow
from pennyweight.store.batches import Batches, BatchState, NewBatch
from pennyweight.store.blob import Blob
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.pages import Cursor
from pennyweight.store.projects import Projects

if TYPE_CHECKING:
    from pennyweight.store.batch_work import BatchLease
    from pennyweight.store.database import Database

FILES, BATCHES, WORK = Files(), Batches(), BatchWork()
NOW = 1_000


def add_file(database: Database, number: int, *, project: str = "default", at: int = NOW) -> str:
    blob = Blob(project_id=project, sha256=f"{number:064x}", num_bytes=3)
    file = StoredFile(
        id=f"file-{number}", project_id=project, filename="f", purpose="batch", num_bytes=3, created_at=at
    )
    database.write_now(lambda c: FILES.add(c, file, blob))
    return file.id


def add_batch(database: Database, number: int, *, project: str = "default") -> str:
    file_id = add_file(database, number, project=project)
    new = NewBatch(
        id=f"batch_{number}",
        project_id=project,
        key_id=None,
        endpoint="/v1/completions",
        input_file_id=file_id,
        created_at=NOW + number,
        expires_at=NOW + 100,
    )
    database.write_now(lambda c: BATCHES.add(c, new, FILES.content(c, project, file_id, now=NOW)[1]))
    return new.id


def claimed(database: Database, *, now: int = NOW) -> BatchLease:
    found = database.write_now(lambda c: WORK.claim(c, owner="w", now=now, lease_s=30))
    assert found is not None
    return found[1]


def row(number: int) -> LineRow:
    return LineRow(line=number, succeeded=True, result=b"x\n", usage=Usage(prompt_tokens=2))


def test_projects_do_not_see_each_other(database: Database) -> None:
    other = database.write_now(lambda c: Projects().create(c, name="other", now=NOW)).id
    mine, theirs = add_batch(database, 1), add_batch(database, 2, project=other)
    everything = Cursor(limit=10)
    for project, own, strange, file in (("default", mine, theirs, "file-2"), (other, theirs, mine, "file-1")):
        batches = database.read_now(lambda c, p=project: BATCHES.page(c, p, everything))  # type: ignore[misc]
        assert [batch.id for batch in batches.items] == [own]
        files = database.read_now(lambda c, p=project: FILES.page(c, p, everything, now=NOW))  # type: ignore[misc]
        assert [found.project_id for found in files.items] == [project]
        for work in (
            lambda c, p=project, b=strange: BATCHES.get(c, p, b),
            lambda c, p=project, b=strange: BATCHES.cancel(c, p, b, now=NOW),
            lambda c, p=project, f=file: FILES.get(c, p, f, now=NOW),
            lambda c, p=project, f=file: FILES.content(c, p, f, now=NOW),
            lambda c, p=project, f=file: FILES.delete(c, p, f, now=NOW),
        ):
            with pytest.raises(NotFoundError):
                database.write_now(work)


def test_what_is_not_there_and_what_is_anothers_are_told_alike(database: Database) -> None:
    other = database.write_now(lambda c: Projects().create(c, name="other", now=NOW)).id
    add_file(database, 1, project=other)
    told = []
    for file_id in ("file-1", "file-9"):
        with pytest.raises(NotFoundError) as caught:
            database.read_now(lambda c, f=file_id: FILES.get(c, "default", f, now=NOW))  # type: ignore[misc]
        told.append(caught.value.message.replace(file_id, "ID"))
    assert told[0] == told[1]


def test_pages_in_both_orders_with_equal_times(database: Database) -> None:
    for number in range(5):
        add_file(database, number)
    forward = [f"file-{number}" for number in range(5)]
    for order, wanted in (("asc", forward), ("desc", forward[::-1])):
        found: list[str] = []
        more, after = True, None
        while more:
            page = Cursor(limit=2, after=after, order="asc" if order == "asc" else "desc")
            files = database.read_now(lambda c, p=page: FILES.page(c, "default", p, now=NOW))  # type: ignore[misc]
            found += [file.id for file in files.items]
            more = files.has_more
            after = found[-1]
        assert found == wanted


def test_a_line_has_one_row_and_is_counted_once(database: Database) -> None:
    batch_id = add_batch(database, 1)
    lease = claimed(database)
    database.write_now(lambda c: WORK.begin(c, lease, model="m", num_lines=2, now=NOW))
    database.write_now(lambda c: WORK.add_lines(c, lease, [row(1)]))
    with pytest.raises(IntegrityError):
        database.write_now(lambda c: WORK.add_lines(c, lease, [row(1)]))
    batch = database.read_now(lambda c: BATCHES.get(c, "default", batch_id))
    assert (batch.num_completed, batch.usage.prompt_tokens, batch.num_lines) == (1, 2, 2)
    assert database.read_now(lambda c: WORK.done_lines(c, lease)) == {1}


def test_an_outlived_worker_changes_nothing(database: Database) -> None:
    batch_id = add_batch(database, 1)
    old = claimed(database)
    assert database.write_now(lambda c: WORK.claim(c, owner="v", now=NOW + 29, lease_s=30)) is None
    new = claimed(database, now=NOW + 30)
    assert new.fence == old.fence + 1
    for work in (
        lambda c: WORK.add_lines(c, old, [row(1)]),
        lambda c: WORK.renew(c, old, now=NOW, lease_s=30),
        lambda c: WORK.begin(c, old, model="m", num_lines=1, now=NOW),
        lambda c: WORK.finalize(c, old, now=NOW),
        lambda c: WORK.end(c, old, BatchState.COMPLETED, now=NOW),
    ):
        with pytest.raises(LeaseLostError):
            database.write_now(work)
    assert database.read_now(lambda c: BATCHES.get(c, "default", batch_id)).num_completed == 0


def test_batches_are_claimed_in_turn_and_a_start_forgets_leases(database: Database) -> None:
    ids = [add_batch(database, number) for number in (1, 2)]
    assert [claimed(database).batch_id for _ in ids] == ids
    assert not database.read_now(lambda c: WORK.waits(c, now=NOW))
    database.write_now(WORK.forget_leases)
    assert claimed(database).batch_id == ids[0]


def test_an_end_takes_its_lines_and_its_input_along(database: Database) -> None:
    add_batch(database, 1)
    lease = claimed(database)
    database.write_now(lambda c: WORK.begin(c, lease, model="m", num_lines=1, now=NOW))
    database.write_now(lambda c: WORK.add_lines(c, lease, [row(1)]))
    database.write_now(lambda c: FILES.delete(c, "default", "file-1", now=NOW))
    (unused,) = database.write_now(lambda c: WORK.end(c, lease, BatchState.COMPLETED, now=NOW + 5))
    assert unused.sha256 == f"{1:064x}"
    left = database.read_now(lambda c: c.execute(text("SELECT count(*) FROM batch_lines")).scalar_one())
    assert left == 0
    assert not database.read_now(lambda c: WORK.waits(c, now=NOW + 1000))
