"""Fine-tuning in the store: projects are apart, outlived workers change nothing, steps are told once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import update

from pennyweight.core import Allowance
from pennyweight.errors import (
    InsufficientQuotaError,
    InvalidRequestError,
    ModelNotFoundError,
    NotFoundError,
)
from pennyweight.quota.training import training_left
from pennyweight.store.blob import Blob
from pennyweight.store.generation import LeaseLostError
from pennyweight.store.pages import Cursor
from pennyweight.store.projects import Projects
from pennyweight.store.tables.tuning import tuning_jobs
from pennyweight.store.tuned_models import StoredModels
from pennyweight.store.tuning_claims import TuningClaims
from pennyweight.store.tuning_events import TuningEvents
from pennyweight.store.tuning_job import NewEvent, TuningState
from pennyweight.store.tuning_jobs import TuningJobs
from pennyweight.store.tuning_work import TuningWork
from tests.store.filled import NOW
from tests.store.tuned import PROGRESS, begun_job, new_job, succeeded, trained, usage

if TYPE_CHECKING:
    from pennyweight.store.database import Database
    from pennyweight.store.tuning_claims import TuningLease
    from pennyweight.store.tuning_job import TuningJob

JOBS, CLAIMS, WORK, EVENTS, MODELS = (
    TuningJobs(),
    TuningClaims(),
    TuningWork(),
    TuningEvents(),
    StoredModels(),
)
ALL = Cursor(limit=100)


def blob(number: int = 0, project: str = "default") -> Blob:
    return Blob(project_id=project, sha256=f"{number:064x}", num_bytes=3)


def begun(database: Database) -> tuple[TuningJob, TuningLease]:
    return database.write_now(lambda c: begun_job(c, new_job(), blob()))


def added(database: Database, *, project: str = "default", at: int = NOW) -> str:
    new = new_job(project=project, at=at)
    database.write_now(lambda c: JOBS.add(c, new, blob(project=project), None))
    return new.id


def other_project(database: Database) -> str:
    return database.write_now(lambda c: Projects().create(c, name="other", now=NOW)).id


def test_projects_do_not_see_each_other(database: Database) -> None:
    other = other_project(database)
    mine, theirs = added(database), added(database, project=other)
    found = database.read_now(lambda c: JOBS.page(c, other, ALL, metadata={}))
    assert [job.id for job in found.items] == [theirs]
    for work in (JOBS.get, *(_at(verb) for verb in (JOBS.cancel, JOBS.pause, JOBS.resume))):
        told = []
        for job_id in (mine, "ftjob-9"):
            with pytest.raises(NotFoundError) as caught:
                database.write_now(lambda c, w=work, j=job_id: w(c, other, j))  # type: ignore[misc]
            told.append(caught.value.message.replace(job_id, "ID"))
        assert told[0] == told[1]


def _at(verb):  # type: ignore[no-untyped-def]
    return lambda c, project, job_id: verb(c, project, job_id, now=NOW)


def test_jobs_are_found_by_their_metadata(database: Database) -> None:
    job_id = added(database)
    for entries, wanted in (({"a": "ü"}, [job_id]), ({"a": "u"}, []), ({"a": "ü", "b": "c"}, [])):
        page = database.read_now(lambda c, e=entries: JOBS.page(c, "default", ALL, metadata=e))  # type: ignore[misc]
        assert [job.id for job in page.items] == wanted


def test_projects_take_turns(database: Database) -> None:
    other = other_project(database)
    mine = [added(database, at=NOW + number) for number in range(2)]
    theirs = added(database, project=other, at=NOW + 5)
    turns = []
    for number in range(3):
        claimed = database.write_now(
            lambda c, n=number: CLAIMS.claim(c, owner="w", now=NOW + 9 + n, lease_s=99)
        )  # type: ignore[misc]
        assert claimed is not None
        turns.append(claimed[0].id)
    assert turns == [mine[0], theirs, mine[1]]
    assert database.write_now(lambda c: CLAIMS.claim(c, owner="w", now=NOW + 20, lease_s=30)) is None


def test_an_outlived_worker_changes_nothing(database: Database) -> None:
    job, old = begun(database)
    claimed = database.write_now(lambda c: CLAIMS.claim(c, owner="v", now=old.expires_at, lease_s=30))
    assert claimed is not None
    for work in (
        lambda c: CLAIMS.renew(c, old, now=NOW, lease_s=30),
        lambda c: WORK.tell(c, old, [NewEvent(message="m")], PROGRESS, now=NOW),
        lambda c: WORK.add_checkpoint(c, old, trained(job, blob(), step=1), now=NOW),
        lambda c: succeeded(c, job, old, blob()),
        lambda c: WORK.fail(c, old, {"code": "x"}, [], usage(job), now=NOW),
        lambda c: CLAIMS.put_down(c, old),
    ):
        with pytest.raises(LeaseLostError):
            database.write_now(work)
    assert database.read_now(lambda c: MODELS.all(c, "default")) == []


def test_steps_done_again_are_told_once(database: Database) -> None:
    job, lease = begun(database)
    for steps in ((1, 2), (2, 3)):
        told = [NewEvent(message=f"Step {step}", step=step, data={"step": step}) for step in steps]
        database.write_now(lambda c, t=told: WORK.tell(c, lease, t, PROGRESS, now=NOW))  # type: ignore[misc]
    page = database.read_now(lambda c: EVENTS.page(c, job.id, ALL))
    assert [event.step for event in page.items] == [None, None, 1, 2, 3]
    backwards = database.read_now(lambda c: EVENTS.page(c, job.id, Cursor(limit=2, order="desc")))
    assert ([event.step for event in backwards.items], backwards.has_more) == ([3, 2], True)
    assert database.read_now(lambda c: JOBS.get(c, "default", job.id)).trained_tokens == 90


def test_three_epochs_are_kept(database: Database) -> None:
    job, lease = begun(database)
    unused = []
    for step in (1, 2, 3, 4, 4):
        model = trained(job, blob(step), step=step)
        unused += database.write_now(lambda c, m=model: WORK.add_checkpoint(c, lease, m, now=NOW))  # type: ignore[misc]
    assert unused == [blob(1)]
    unused = database.write_now(lambda c: succeeded(c, job, lease, blob(6)))
    assert unused == [blob(2), blob(0)], "the data of the job as well"
    models = database.read_now(lambda c: MODELS.all(c, "default"))
    assert [model.step for model in models] == [3, 4, None]
    checkpoints = database.read_now(lambda c: EVENTS.checkpoints(c, job.id, ALL))
    assert [checkpoint.step for checkpoint in checkpoints.items] == [3, 4, 6]
    ended = database.read_now(lambda c: JOBS.get(c, "default", job.id))
    assert (ended.state, ended.fine_tuned_model) == (TuningState.SUCCEEDED, checkpoints.items[-1].model)


def test_a_model_is_deleted_by_its_project_alone(database: Database) -> None:
    job, lease = begun(database)
    database.write_now(lambda c: succeeded(c, job, lease, blob(6)))
    other, name = other_project(database), f"ft:{job.id}"
    assert database.read_now(lambda c: MODELS.find(c, other, name)) is None
    with pytest.raises(ModelNotFoundError):
        database.write_now(lambda c: MODELS.delete(c, other, name))
    assert database.write_now(lambda c: MODELS.delete(c, "default", name)) == [blob(6)]
    assert database.read_now(lambda c: MODELS.find(c, "default", name)) is None


def test_cancelled_at_once(database: Database) -> None:
    job, lease = begun(database)
    cancelled, unused = database.write_now(lambda c: JOBS.cancel(c, "default", job.id, now=NOW))
    assert (cancelled.state, cancelled.ended_at, unused) == (TuningState.CANCELLED, NOW, [blob()])
    with pytest.raises(LeaseLostError):
        database.read_now(lambda c: CLAIMS.read(c, lease))
    for verb in (JOBS.cancel, JOBS.pause, JOBS.resume):
        with pytest.raises(InvalidRequestError, match="status 'cancelled'"):
            database.write_now(lambda c, v=verb: v(c, "default", job.id, now=NOW))  # type: ignore[misc]


def test_paused_until_it_is_resumed(database: Database) -> None:
    job, lease = begun(database)
    for _ in range(2):
        paused = database.write_now(lambda c: JOBS.pause(c, "default", job.id, now=NOW))
        assert (paused.state, paused.paused_at) == (TuningState.QUEUED, NOW)
    with pytest.raises(LeaseLostError):
        database.read_now(lambda c: CLAIMS.read(c, lease))
    assert not database.read_now(lambda c: CLAIMS.waits(c, now=NOW + 99))
    for _ in range(2):
        assert database.write_now(lambda c: JOBS.resume(c, "default", job.id, now=NOW)).paused_at is None
    assert database.read_now(lambda c: CLAIMS.waits(c, now=NOW))
    events = database.read_now(lambda c: EVENTS.page(c, job.id, ALL)).items
    assert [event.message for event in events][-2:] == ["The job was paused.", "The job was resumed."]


def test_a_program_of_its_makers_is_run_by_who_names_the_job(database: Database) -> None:
    new = replace(new_job(), method="grpo")
    database.write_now(lambda c: JOBS.add(c, new, blob(), None))
    for only, waits in ((None, False), (new.id, True)):
        assert database.read_now(lambda c, o=only: CLAIMS.waits(c, now=NOW, only=o)) is waits  # type: ignore[misc]
        claimed = database.write_now(
            lambda c, o=only: CLAIMS.claim(c, owner="w", now=NOW, lease_s=9, only=o)  # type: ignore[misc]
        )
        assert (claimed is not None) is waits


def test_what_is_trained_counts_this_month(database: Database) -> None:
    limit = Allowance(subject="default", training_tokens=150)
    job, lease = begun(database)
    assert _left(database, limit) == 50, "it will train 100"
    assert _left(database, limit, but=job.id) == 150
    database.write_now(lambda c: succeeded(c, job, lease, blob(6)))
    assert _left(database, limit) == 60, "it trained 90"
    assert _left(database, Allowance(subject="key_a", training_tokens=5)) == 5
    assert _left(database, Allowance(subject="default")) is None
    with pytest.raises(InsufficientQuotaError, match="may train 90 tokens"):
        _left(database, Allowance(subject="default", training_tokens=90))
    last_month = update(tuning_jobs).values(ended_at=NOW - 40 * 86_400)
    database.write_now(lambda c: c.execute(last_month))
    assert _left(database, limit) == 150


def _left(database: Database, limit: Allowance, *, but: str = "") -> int | None:
    return database.read_now(lambda c: training_left(c, [limit], now=NOW, but=but))


def test_old_jobs_go_when_their_models_have(database: Database) -> None:
    job, lease = begun(database)
    database.write_now(lambda c: succeeded(c, job, lease, blob(6)))
    added(database)
    later = NOW + 10**6
    assert database.write_now(lambda c: JOBS.forget(c, before=later, limit=9)) == 0
    database.write_now(lambda c: MODELS.delete(c, "default", f"ft:{job.id}"))
    assert database.write_now(lambda c: JOBS.forget(c, before=later, limit=9)) == 1
    assert database.read_now(lambda c: EVENTS.page(c, job.id, ALL)).items == []
