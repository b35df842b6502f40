"""A real server, a real trainer and the official client: from a file of examples to a model that answers."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.jobs.service import Service
from tests.jobs.tuning import ENDED
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.fine_tuning import FineTuningJob

pytest.importorskip("torch")
pytest.importorskip("peft")

PATIENCE_S = 240
ASK: dict[str, Any] = {
    "messages": [{"role": "user", "content": "Say it."}],
    "temperature": 0,
    "max_tokens": 6,
    "logprobs": True,
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    model = write_tiny_llama(tmp_path / "tiny.gguf", context_length=512)
    service = Service(model, tmp_path / "data")
    yield service
    service.kill()


def lessons(*, count: int = 12) -> bytes:
    chosen = random.Random(1)
    lines = [
        {
            "messages": [
                {"role": "user", "content": f"Say it, {chosen.randrange(99)}."},
                {"role": "assistant", "content": "No, no, no."},
            ]
        }
        for _ in range(count)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def created(service: Service, **hyperparameters: Any) -> FineTuningJob:
    client = service.client
    file = client.files.create(file=("lessons.jsonl", lessons()), purpose="fine-tune")
    chosen: Any = {"n_epochs": 3, "batch_size": 4, "learning_rate_multiplier": 4, **hyperparameters}
    return client.fine_tuning.jobs.create(
        model="gpt-4o-mini",
        training_file=file.id,
        validation_file=file.id,
        suffix="no",
        seed=3,
        method={"type": "supervised", "supervised": {"hyperparameters": chosen}},
    )


def ended(service: Service, job: FineTuningJob) -> FineTuningJob:
    deadline = time.monotonic() + PATIENCE_S
    while (now := service.client.fine_tuning.jobs.retrieve(job.id)).status not in ENDED:
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
    return now


def answer(service: Service, name: str) -> tuple[str | None, list[float]]:
    choice = service.client.chat.completions.create(model=name, **ASK).choices[0]
    assert choice.logprobs is not None
    return choice.message.content, [one.logprob for one in choice.logprobs.content or []]


def losses(service: Service, job: FineTuningJob) -> list[float]:
    events: list[Any] = list(service.client.fine_tuning.jobs.list_events(job.id, limit=100))[::-1]
    return [event.data["train_loss"] for event in events if event.type == "metrics"]


def test_create_answer_restart_delete(service: Service) -> None:
    service.start()
    job = ended(service, created(service))
    assert job.status == "succeeded", job.error
    name = job.fine_tuned_model
    assert name == f"ft:gpt-4o-mini:pennyweight:no:{job.id[-8:]}"
    assert job.trained_tokens
    told = losses(service, job)
    assert len(told) == 9
    assert told[-1] < told[0]
    csv = service.client.files.content(job.result_files[0]).text.splitlines()
    assert csv[0].startswith("step,")
    assert len(csv) == 10
    before = answer(service, name)
    assert before != answer(service, "gpt-4o-mini")
    points = list(service.client.fine_tuning.jobs.checkpoints.list(job.id))
    assert [point.step_number for point in points] == [9, 6, 3]
    assert all(point.metrics.full_valid_loss is not None for point in points)
    first = answer(service, points[-1].fine_tuned_model_checkpoint)
    assert first != before
    assert name in [model.id for model in service.client.models.list()]
    service.stop()
    service.verify()
    service.start()
    assert answer(service, name) == before, "the same bits after a restart"
    assert service.client.models.delete(name).deleted
    with pytest.raises(openai.NotFoundError):
        answer(service, name)
    assert answer(service, points[-1].fine_tuned_model_checkpoint) == first
    service.stop()
    service.verify()


@pytest.mark.skipif(os.environ.get("CRASH_POINTS") != "all", reason="takes a minute; `make crash` runs it")
def test_killed_server_and_killed_trainer_go_on(service: Service) -> None:
    """With the losses of a training that nobody disturbed."""
    service.start()
    whole = ended(service, created(service, n_epochs=8))
    job = created(service, n_epochs=8)
    wait_for_step(service, job)
    for pid in trainers(service.folder):
        os.kill(pid, signal.SIGKILL)
    wait_for_step(service, job)
    service.kill()
    service.start()
    again = ended(service, job)
    assert again.status == "succeeded", again.error
    assert losses(service, again) == losses(service, whole)
    service.stop()
    service.verify()


def wait_for_step(service: Service, job: FineTuningJob) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not losses(service, job):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def trainers(folder: Path) -> list[int]:
    """The processes that work below `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"pennyweight.tune" in words and any(word.startswith(str(folder).encode()) for word in words):
            found.append(int(path.parent.name))
    return found
