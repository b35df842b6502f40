"""Files and batches in the store: projects do not see each other, and an outlived worker changes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from pennyweight.core import Usage
from pennyweight.errors import NotFoundError
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.batch_work import BatchWork, LineRow
from pennyweight.store.batches import Batches, BatchState, NewBatch
from pennyweight.store.blob import Blob
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.pages import Cursor
from pennyweight.store.projects import Projects

if TYPE_CHECKING:
    from pennyweight.store.batch_claims import BatchLease
    from pennyweight.store.database import Database

FILES, BATCHES, CLAIMS, WORK = Files(), Batches(), BatchClaims(), BatchWork()
NOW = 1_000


def add_file(database: Database, number: int, *, project: str = "default", at: int = NOW) -> str:
    blob = Blob(project_id=project, sha256=f"{number:064x}", num_bytes=3)
    file = StoredFile(
        id=f"file-{number}", project_id=project, filename="f", purpose="batch", num_bytes=3, created_at=at
    )
    database.write_now(lambda c: FILES.add(c, file, blob))
    return file.id


def add_batch(database: Database, number: int, *, project: str = "default") -> str:
    """One made at `NOW + number`."""
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
    found = database.write_now(lambda c: CLAIMS.claim(c, owner="w", now=now, lease_s=30))
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
    assert database.write_now(lambda c: CLAIMS.claim(c, owner="v", now=NOW + 29, lease_s=30)) is None
    new = claimed(database, now=NOW + 30)
    assert new.fence == old.fence + 1
    for work in (
        lambda c: WORK.add_lines(c, old, [row(1)]),
        lambda c: CLAIMS.renew(c, old, now=NOW, lease_s=30),
        lambda c: WORK.begin(c, old, model="m", num_lines=1, now=NOW),
        lambda c: WORK.finalize(c, old, now=NOW),
        lambda c: WORK.end(c, old, BatchState.COMPLETED, now=NOW),
        lambda c: CLAIMS.put_down(c, old),
        lambda c: CLAIMS.count_failure(c, old),
    ):
        with pytest.raises(LeaseLostError):
            database.write_now(work)
    assert database.read_now(lambda c: BATCHES.get(c, "default", batch_id)).num_completed == 0


def test_batches_are_claimed_in_turn_and_a_start_forgets_leases(database: Database) -> None:
    ids = [add_batch(database, number) for number in (1, 2)]
    assert [claimed(database).batch_id for _ in ids] == ids
    assert not database.read_now(lambda c: CLAIMS.waits(c, now=NOW))
    database.write_now(CLAIMS.forget_leases)
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
    assert not database.read_now(lambda c: CLAIMS.waits(c, now=NOW + 1000))


def new_project(database: Database, name: str) -> str:
    return database.write_now(lambda c: Projects().create(c, name=name, now=NOW)).id


def test_a_project_with_fewer_batches_under_way_goes_first(database: Database) -> None:
    other = new_project(database, "other")
    mine = [add_batch(database, number) for number in range(4)]
    theirs = [add_batch(database, number, project=other) for number in (8, 9)]
    turns = [claimed(database).batch_id for _ in range(6)]
    assert turns == [mine[0], theirs[0], mine[1], theirs[1], mine[2], mine[3]]


def test_a_batch_put_down_waits_behind_projects_that_had_no_turn(database: Database) -> None:
    projects = [new_project(database, name) for name in "abc"]
    ids = [add_batch(database, number, project=project) for number, project in enumerate(projects)]
    turns = []
    for second in range(5):  # one place, three projects: a turn each
        lease = claimed(database, now=NOW + second)
        turns.append(lease.batch_id)
        database.write_now(lambda c, lease=lease: CLAIMS.put_down(c, lease))  # type: ignore[misc]
    assert turns == [*ids, *ids[:2]]


def test_short_batches_in_a_row_do_not_keep_another_project_waiting(database: Database) -> None:
    for number in range(3):
        add_batch(database, number)
    theirs = add_batch(database, 9, project=new_project(database, "late"))
    first = claimed(database)
    database.write_now(lambda c: WORK.end(c, first, BatchState.CANCELLED, now=NOW))
    assert claimed(database).batch_id == theirs


def test_loads_tell_who_has_and_who_waits(database: Database) -> None:
    other = new_project(database, "other")
    for number in range(3):
        add_batch(database, number)
    add_batch(database, 5, project=other)
    claimed(database)
    ended = claimed(database)
    database.write_now(lambda c: WORK.end(c, ended, BatchState.CANCELLED, now=NOW))
    found = {
        load.project_id: (load.num_claimed, load.num_waiting)
        for load in database.read_now(lambda c: CLAIMS.loads(c, now=NOW))
    }
    assert found == {"default": (1, 2)}, "what ended is nobody's load"
    expired = database.read_now(lambda c: CLAIMS.loads(c, now=NOW + 30))
    assert [(load.num_claimed, load.num_waiting) for load in expired] == [(0, 3)]


def test_what_another_server_must_run_is_left_aside(database: Database) -> None:
    ids = [add_batch(database, number) for number in range(2)]
    found = database.write_now(lambda c: CLAIMS.claim(c, owner="w", now=NOW, lease_s=30, but=ids[:1]))
    assert found is not None
    assert found[0].id == ids[1]
    assert not database.read_now(lambda c: CLAIMS.waits(c, now=NOW, but=ids[:1]))
    (load,) = database.read_now(lambda c: CLAIMS.loads(c, now=NOW, but=ids[:1]))
    assert (load.num_claimed, load.num_waiting) == (1, 0)


def test_failures_of_a_worker_are_counted_over_leases(database: Database) -> None:
    add_batch(database, 1)
    counts = []
    for attempt in range(3):
        lease = claimed(database, now=NOW + 30 * attempt)
        counts.append(database.write_now(lambda c, lease=lease: CLAIMS.count_failure(c, lease)))  # type: ignore[misc]
    assert counts == [1, 2, 3]


def test_a_queue_is_a_projects_and_ends_with_its_batches(database: Database) -> None:
    other = new_project(database, "other")
    for number in range(2):
        add_batch(database, number)
    add_batch(database, 5, project=other)

    def queue(project: str) -> tuple[int, int]:
        found = database.read_now(lambda c: BATCHES.queue(c, project))
        return found.num_batches, found.num_bytes

    assert (queue("default"), queue(other)) == ((2, 6), (1, 3))
    lease = claimed(database)
    database.write_now(lambda c: WORK.end(c, lease, BatchState.CANCELLED, now=NOW))
    assert queue("default") == (1, 3)
