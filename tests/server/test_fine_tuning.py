"""Fine-tuning through the official client, strict: a stand-in trains, all around it is real."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.jobs.trainer_process import Trainer
from tests.jobs.tuning import ENDED, STAND_IN, examples
from tests.server.issuing import new_key, new_project
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.fine_tuning import FineTuningJob

    from pennyweight.api import Engine


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[LiveServer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "here", lambda: STAND_IN)
        with live_server(engine) as server:
            yield server


def uploaded(client: openai.OpenAI, raw: bytes | None = None, *, purpose: Any = "fine-tune") -> str:
    return client.files.create(file=("in.jsonl", examples() if raw is None else raw), purpose=purpose).id


def created(client: openai.OpenAI, model: str, mood: str = "well", **fields: Any) -> FineTuningJob:
    given: dict[str, Any] = {"training_file": uploaded(client, examples(mood)), **fields}
    return client.fine_tuning.jobs.create(model=model, **given)


def ended(client: openai.OpenAI, job: FineTuningJob) -> FineTuningJob:
    deadline = time.monotonic() + 60
    while (now := client.fine_tuning.jobs.retrieve(job.id)).status not in ENDED:
        assert time.monotonic() < deadline, now
        time.sleep(0.02)
    return now


def messages(client: openai.OpenAI, job: FineTuningJob) -> list[str]:
    """Of all events, the first one first, page by page."""
    return [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=3)][::-1]


def started(client: openai.OpenAI, model: str) -> FineTuningJob:
    """One that takes a while, and is at it."""
    job = created(client, model, "slow", hyperparameters={"n_epochs": 500})
    deadline = time.monotonic() + 60
    while client.fine_tuning.jobs.list_events(job.id, limit=1).data[0].type != "metrics":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return job


def test_from_the_file_to_the_model(client: openai.OpenAI, server: LiveServer) -> None:
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4}}}
    validation = uploaded(client)
    job = created(
        client,
        "gpt-4o-mini",
        method=method,
        suffix="my-own_1",
        seed=7,
        metadata={"for": "ü"},
        validation_file=validation,
    )
    assert (job.status, job.model, job.seed) == ("validating_files", server.model, 7)
    assert (job.fine_tuned_model, job.trained_tokens, job.finished_at) == (None, None, None)
    job = ended(client, job)
    assert job.status == "succeeded", job.error
    name = f"ft:gpt-4o-mini:pennyweight:my-own_1:{job.id[-8:]}"
    assert (job.fine_tuned_model, job.trained_tokens, job.validation_file) == (name, 80, validation)
    assert job.method is not None
    assert job.method.supervised is not None
    assert job.method.supervised.hyperparameters is not None
    chosen = job.method.supervised.hyperparameters
    assert (chosen.n_epochs, chosen.batch_size, chosen.learning_rate_multiplier) == (4, 4, 1.5)
    assert job.hyperparameters.batch_size == 4
    assert client.files.content(job.result_files[0]).text.startswith("step,train_loss")
    assert client.files.retrieve(job.result_files[0]).purpose == "fine-tune-results"
    told = messages(client, job)
    assert told[0] == f"Created fine-tuning job: {job.id}"
    assert told[-2:] == [f"New fine-tuned model created: {name}", "The job has successfully completed"]
    assert "2 examples are there twice" in told
    assert "Step 8/8: training loss=0.125, validation loss=0.25" in told
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=2))
    assert [point.step_number for point in checkpoints] == [8, 6, 4], "of the last three epochs"
    names = [point.fine_tuned_model_checkpoint for point in checkpoints]
    assert names == [name, f"{name}:ckpt-step-6", f"{name}:ckpt-step-4"]
    assert checkpoints[0].metrics.train_loss == 0.125
    assert checkpoints[0].metrics.valid_loss == 0.25


def test_metrics_are_events(client: openai.OpenAI, server: LiveServer) -> None:
    job = ended(client, created(client, server.model))
    events = list(client.fine_tuning.jobs.list_events(job.id))
    steps: list[Any] = [event.data for event in events if event.type == "metrics"][::-1]
    assert [(data["step"], data["total_steps"], data["train_loss"]) for data in steps] == [
        (1, 4, 1.0),
        (2, 4, 0.5),
        (3, 4, pytest.approx(1 / 3)),
        (4, 4, 0.25),
    ]


def test_older_code_gives_hyperparameters_at_the_top(client: openai.OpenAI, server: LiveServer) -> None:
    job = ended(client, created(client, server.model, hyperparameters={"n_epochs": 1}))
    assert (job.status, job.hyperparameters.n_epochs) == ("succeeded", 1)
    assert job.fine_tuned_model == f"ft:{server.model}:pennyweight::{job.id[-8:]}"


def test_dpo_has_its_beta(client: openai.OpenAI, server: LiveServer) -> None:
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}
    job = ended(client, created(client, server.model, method=method))
    assert job.method is not None
    assert job.method.dpo is not None
    assert job.method.dpo.hyperparameters is not None
    assert (job.status, job.method.dpo.hyperparameters.beta) == ("succeeded", 0.2)


def test_cancelled_in_the_middle(client: openai.OpenAI, server: LiveServer) -> None:
    job = started(client, server.model)
    running = client.fine_tuning.jobs.retrieve(job.id)
    assert (running.status, running.trained_tokens) == ("running", None)
    assert running.estimated_finish is not None
    cancelled = client.fine_tuning.jobs.cancel(job.id)
    assert (cancelled.status, cancelled.fine_tuned_model, cancelled.error) == ("cancelled", None, None)
    assert cancelled.trained_tokens is not None
    with pytest.raises(openai.BadRequestError, match="status 'cancelled'"):
        client.fine_tuning.jobs.cancel(job.id)
    after = ended(client, created(client, server.model))
    assert after.status == "succeeded", "the next one has its turn"
    assert client.fine_tuning.jobs.retrieve(job.id).status == "cancelled"


def test_paused_and_resumed(client: openai.OpenAI, server: LiveServer) -> None:
    job = started(client, server.model)
    assert client.fine_tuning.jobs.pause(job.id).status == "queued"
    assert ended(client, created(client, server.model)).status == "succeeded", "others go on"
    assert client.fine_tuning.jobs.retrieve(job.id).status == "queued"
    before = len(messages(client, job))
    client.fine_tuning.jobs.resume(job.id)
    deadline = time.monotonic() + 60
    while len(messages(client, job)) < before + 3:
        assert time.monotonic() < deadline
    client.fine_tuning.jobs.cancel(job.id)
    told = [line for line in messages(client, job) if line.startswith("Step")]
    assert len(told) == len(set(told)), "no step is told twice"
    assert [line.split("/")[0] for line in told] == [f"Step {number + 1}" for number in range(len(told))]


def test_a_trainer_that_was_killed_goes_on(client: openai.OpenAI, server: LiveServer) -> None:
    job = ended(client, created(client, server.model, "dies"))
    assert job.status == "succeeded", job.error
    told = [line for line in messages(client, job) if line.startswith("Step")]
    assert len(told) == len(set(told)) == 4


def test_bad_lines_are_named(client: openai.OpenAI, server: LiveServer) -> None:
    raw = examples(count=11).splitlines()
    raw[4] = raw[8] = b"{"
    job = ended(client, created(client, server.model, training_file=uploaded(client, b"\n".join(raw))))
    assert job.status == "failed"
    assert job.error is not None
    assert (job.error.code, job.error.param) == ("invalid_training_file", "training_file")
    assert "Line 5: It is no JSON. Line 9: It is no JSON." in job.error.message
    assert job.result_files == []
    assert "Line 9: It is no JSON." in messages(client, job)
    levels = {event.level for event in client.fine_tuning.jobs.list_events(job.id)}
    assert "error" in levels


def test_a_loss_that_is_no_number(client: openai.OpenAI, server: LiveServer) -> None:
    job = ended(client, created(client, server.model, "nan"))
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "nan_loss")
    assert "at step 2" in job.error.message
    assert job.fine_tuned_model is None


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"method": {"type": "reinforcement"}}, "method", "'reinforcement' is not supported"),
    ({"method": {"type": "grpo"}}, "method.type", "supervised, dpo"),
    ({"method": {"type": "dpo", "supervised": {}}}, "method.supervised", "does not go with the type 'dpo'"),
    (
        {"method": {"type": "dpo", "dpo": {"hyperparameters": {"n_epochs": 0}}}},
        "method.dpo.hyperparameters.n_epochs",
        "out of range",
    ),
    (
        {"method": {"type": "supervised", "supervised": {"hyperparameters": {"beta": 1}}}},
        "method.supervised.hyperparameters.beta",
        "Unknown parameter",
    ),
    ({"method": {"type": "dpo"}, "hyperparameters": {}}, "hyperparameters", "does not go with 'method'"),
    ({"hyperparameters": {"n_epochs": "many"}}, "hyperparameters.n_epochs", "expected an integer"),
    ({"integrations": [{"type": "wandb", "wandb": {}}]}, "integrations", "nothing is sent elsewhere"),
    ({"suffix": "a:b"}, "suffix", "1 to 64 letters"),
    ({"suffix": "a" * 65}, "suffix", "1 to 64 letters"),
    ({"seed": -1}, "seed", "out of range"),
    ({"metadata": {"a": 1}}, "metadata.a", "expected a string"),
    ({"training_file": "file-x"}, "training_file", "No such File object: file-x"),
    ({"validation_file": "file-x"}, "validation_file", "No such File object: file-x"),
    ({"epochs": 3}, "epochs", "Unknown parameter"),
]


@pytest.mark.parametrize(("fields", "param", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_honoured_is_named(
    client: openai.OpenAI, server: LiveServer, fields: dict[str, Any], param: str, message: str
) -> None:
    given = {"training_file": "file-a", **fields}
    body = {"model": server.model, **given}
    if "training_file" not in fields:
        body["training_file"] = uploaded(client)
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        client.post("/fine_tuning/jobs", body=body, cast_to=httpx.Response)
    assert caught.value.param == param


def test_files_of_other_purposes_and_models_of_nobody(client: openai.OpenAI, server: LiveServer) -> None:
    with pytest.raises(openai.BadRequestError, match="upload it with the purpose 'fine-tune'"):
        created(client, server.model, training_file=uploaded(client, purpose="batch"))
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        created(client, "gpt-9")
    with pytest.raises(openai.BadRequestError, match="gives embeddings"):
        created(client, "text-embedding-3-small")


def test_lists_and_what_is_not_there(client: openai.OpenAI, server: LiveServer) -> None:
    jobs = [ended(client, created(client, server.model, metadata={"of": "lists"})) for _ in range(3)]
    listed = list(client.fine_tuning.jobs.list(limit=2, metadata={"of": "lists"}))
    assert sorted(job.id for job in listed) == sorted(job.id for job in jobs), "page by page"
    assert listed == sorted(listed, key=lambda job: (job.created_at, job.id), reverse=True)
    assert list(client.fine_tuning.jobs.list(metadata={"of": "others"})) == []
    for read in (
        client.fine_tuning.jobs.retrieve,
        client.fine_tuning.jobs.cancel,
        client.fine_tuning.jobs.pause,
        client.fine_tuning.jobs.list_events,
        client.fine_tuning.jobs.checkpoints.list,
    ):
        with pytest.raises(openai.NotFoundError, match="Could not find fine tune: ftjob-x"):
            read("ftjob-x")


@pytest.fixture(scope="module")
def locked(engine: Engine) -> Iterator[LiveServer]:
    """One that wants keys."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "here", lambda: STAND_IN)
        with live_server(engine) as server:
            yield server


def test_projects_and_scopes(locked: LiveServer) -> None:
    project = new_project(locked)
    mine = locked.client(new_key(locked, project).secret.text)
    theirs = locked.client(new_key(locked, new_project(locked)).secret.text)
    job = ended(mine, created(mine, locked.model))
    assert [own.id for own in mine.fine_tuning.jobs.list()] == [job.id]
    assert list(theirs.fine_tuning.jobs.list()) == []
    for read in (theirs.fine_tuning.jobs.retrieve, theirs.fine_tuning.jobs.list_events):
        with pytest.raises(openai.NotFoundError):
            read(job.id)
    with pytest.raises(openai.BadRequestError, match="No such File object"):
        theirs.fine_tuning.jobs.create(model=locked.model, training_file=job.training_file)
    scopes = frozenset({"api.fine_tuning.read"})
    reader = locked.client(new_key(locked, project, scopes=scopes).secret.text)
    assert reader.fine_tuning.jobs.retrieve(job.id).id == job.id
    with pytest.raises(openai.PermissionDeniedError, match=r"api\.fine_tuning\.write"):
        reader.fine_tuning.jobs.create(model=locked.model, training_file=job.training_file)


def test_a_key_trains_as_much_as_it_may(locked: LiveServer) -> None:
    client = locked.client(new_key(locked, training_tokens=50).secret.text)
    too_much = ended(client, created(client, locked.model, hyperparameters={"n_epochs": 3}))
    assert too_much.error is not None
    assert (too_much.status, too_much.error.code) == ("failed", "insufficient_quota")
    assert "would train 60 tokens, and 50 are left" in too_much.error.message
    assert ended(client, created(client, locked.model)).status == "succeeded"
    again = ended(client, created(client, locked.model))
    assert again.error is not None
    assert (again.status, again.error.code) == ("failed", "insufficient_quota")
    ended(client, created(client, locked.model, hyperparameters={"n_epochs": 1}))


def test_training_is_paid_from_the_budget(locked: LiveServer) -> None:
    """40 tokens at 3 $ a million are 120 millionths of a dollar."""
    client = locked.client(new_key(locked, budget=200 * 10**6).secret.text)
    assert ended(client, created(client, locked.model)).status == "succeeded"
    job = ended(client, created(client, locked.model))
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "insufficient_quota")
    rows = locked.services.database.read_now(
        lambda c: c.exec_driver_sql(
            "SELECT outcome, price, cpu_us > 0 FROM usage WHERE kind = 'training' AND price = 120000000"
        ).all()
    )
    assert ("completed", 120_000_000, 1) in [tuple(row) for row in rows]


def test_the_same_request_makes_one_job(client: openai.OpenAI, server: LiveServer) -> None:
    file_id, key = uploaded(client), {"Idempotency-Key": "tune-once"}
    made = [
        client.fine_tuning.jobs.create(model=server.model, training_file=file_id, extra_headers=key)
        for _ in range(2)
    ]
    assert made[0].id == made[1].id
    ended(client, made[0])


def test_the_files_may_go(client: openai.OpenAI, server: LiveServer) -> None:
    file_id = uploaded(client, examples("slow"))
    job = client.fine_tuning.jobs.create(model=server.model, training_file=file_id)
    client.files.delete(file_id)
    assert ended(client, job).status == "succeeded"


def test_without_what_trains(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = Trainer(command=STAND_IN.command, lacking=("torch", "peft"))
    monkeypatch.setattr(Trainer, "here", lambda: lacking)
    with live_server(engine) as server, server.client() as client:
        with pytest.raises(openai.BadRequestError, match=r"torch, peft.*pip install 'pennyweight\[tune\]'"):
            created(client, server.model)
        assert list(client.fine_tuning.jobs.list()) == []
