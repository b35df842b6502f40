"""Killed after every durable write of fine-tuning: what was acknowledged ends as it would have."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.jobs.places import TUNING, TUNING_RARELY, of_today
from tests.jobs.service import GONE, Service
from tests.jobs.tuning import ENDED, examples
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai.types.fine_tuning import FineTuningJob

STAND_IN = ("stand_in_trainer",)
UNWANTED = "unwanted"
MOODS = {
    "tuning_job.failed": ("nan", "failed"),
    "tuning_job.failure_counted": ("dies", "succeeded"),
}
PATIENCE_S = 60


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf"), tmp_path / "data")
    yield service
    service.kill()


class Tuner:
    """Makes jobs of every fate, and remembers what it was told."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.fates: dict[str, str] = {}

    def exercise(self, place: str) -> None:
        """What comes to `place`; returns early when the server has gone."""
        with suppress(*GONE):
            self._cancel_unwanted()
            if place == "tuning_job.cancelled":
                self.made("slow", UNWANTED, n_epochs=60)
                self._cancel_unwanted()
            elif place in ("tuning_job.paused", "tuning_job.resumed"):
                paused = self.made("slow", "succeeded", n_epochs=5)
                self._service.client.fine_tuning.jobs.pause(paused)
                self._service.client.fine_tuning.jobs.resume(paused)
            elif place == "tuned_model.deleted":
                job = self.ended(self.made("well", "succeeded"))
                assert job.fine_tuned_model is not None
                self._service.client.models.delete(job.fine_tuned_model)
            else:
                mood, fate = MOODS.get(place, ("well", "succeeded"))
                self.ended(self.made(mood, fate))

    def made(self, mood: str, fate: str, *, n_epochs: int = 3) -> str:
        client = self._service.client
        file = client.files.create(file=("a.jsonl", examples(mood)), purpose="fine-tune")
        chosen: Any = {"n_epochs": n_epochs}
        job = client.fine_tuning.jobs.create(
            model="gpt-4o-mini", training_file=file.id, hyperparameters=chosen
        )
        self.fates[job.id] = fate
        return job.id

    def ended(self, job_id: str) -> FineTuningJob:
        deadline, client = time.monotonic() + PATIENCE_S, self._service.client
        while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in ENDED:
            assert time.monotonic() < deadline, job
            time.sleep(0.02)
        return job

    def check(self) -> None:
        """Everything that was acknowledged has ended as it had to, and each step is told once."""
        self._cancel_unwanted()
        for job_id, fate in self.fates.items():
            with suppress(openai.BadRequestError):  # it has ended
                self._service.client.fine_tuning.jobs.resume(job_id)
            job = self.ended(job_id)
            assert job.status == fate, job
            self._check_lists(job)

    def _check_lists(self, job: FineTuningJob) -> None:
        client = self._service.client
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=100))
        steps = [event.message for event in events if event.type == "metrics"][::-1]
        assert [step.split("/")[0] for step in steps] == [f"Step {n + 1}" for n in range(len(steps))]
        if job.status == "succeeded":
            checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
            assert len(checkpoints) == 3
            assert checkpoints[0].fine_tuned_model_checkpoint == job.fine_tuned_model
            assert client.files.content(job.result_files[0]).text

    def _cancel_unwanted(self) -> None:
        for job_id, fate in self.fates.items():
            if fate == UNWANTED:
                with suppress(openai.BadRequestError):  # it was, though nobody was told
                    self._service.client.fine_tuning.jobs.cancel(job_id)
                self.fates[job_id] = "cancelled"


def settled(service: Service, tuner: Tuner) -> None:
    service.start(wrong=STAND_IN)
    tuner.check()
    service.stop()
    service.verify()
    jobs = service.sql("SELECT id FROM tuning_jobs WHERE ended_at IS NOT NULL")
    rows = service.sql("SELECT request_id FROM usage WHERE kind = 'training'")
    assert sorted(rows) == sorted(jobs), "each that has ended is counted once"
    assert not list((service.folder / "incoming").iterdir())


def test_killed_once_after_every_durable_write(service: Service) -> None:
    tuner = Tuner(service)
    for place in of_today(TUNING):
        service.start(failpoint=place, wrong=STAND_IN)
        tuner.exercise(place)
        assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service, tuner)


@pytest.mark.parametrize("place", of_today(TUNING_RARELY))
def test_killed_where_it_seldom_comes(service: Service, place: str) -> None:
    """A lease is renewed, or let go of because the server stops."""
    tuner = Tuner(service)
    wrong = (*STAND_IN, "hurried_tuning") if place == "tuning_job.renewed" else STAND_IN
    service.start(failpoint=place, wrong=wrong)
    with suppress(*GONE):
        job_id = tuner.made("slow", "succeeded", n_epochs=9)
        if place == "tuning_job.put_down":
            wait_for_steps(service, job_id)
            service.stop()
    assert service.wait_until_dead() == -signal.SIGKILL, f"{place} was not reached"
    settled(service, tuner)


def wait_for_steps(service: Service, job_id: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while service.client.fine_tuning.jobs.list_events(job_id, limit=1).data[0].type != "metrics":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_stops_leaves_a_checkpoint(service: Service) -> None:
    tuner = Tuner(service)
    service.start(wrong=STAND_IN)
    job_id = tuner.made("slow", "succeeded", n_epochs=9)
    wait_for_steps(service, job_id)
    service.stop()
    assert (service.folder / "tuning" / job_id / "plan.json").exists()
    settled(service, tuner)
    assert not list((service.folder / "tuning").iterdir())
