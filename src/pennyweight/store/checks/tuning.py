"""Fine-tuning: states with what belongs to them, work with its data, models with their weights."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import select

from pennyweight.store.checks.generations import is_json
from pennyweight.store.tables.blobs import blob_uses
from pennyweight.store.tables.tuning import tuned_models, tuning_checkpoints, tuning_events, tuning_jobs
from pennyweight.store.tuning_job import (
    UNDER_WAY,
    TuningState,
    adapter_identity,
    training_input,
    validation_input,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import RowMapping

    from pennyweight.store.checks.check import Finding, Scope

    Contents = Mapping[tuple[str, str], Sequence[str]]  # hashes by project and owner

_TEXTS = ("hyperparameters", "metadata", "error")


def check_tuning(scope: Scope) -> Iterator[Finding]:
    """Rows alone; the bytes are looked at with the blobs."""
    contents = defaultdict(list)
    columns = (blob_uses.c.project_id, blob_uses.c.owner_id, blob_uses.c.sha256)
    for project_id, owner_id, sha256 in scope.connection.execute(select(*columns)):
        contents[project_id, owner_id].append(sha256)
    for job in scope.connection.execute(select(tuning_jobs)).mappings():
        for problem in (*_of_state(job), *_of_inputs(job, contents)):
            yield f"{job['id']} {problem}"
    for model in scope.connection.execute(select(tuned_models)).mappings():
        for problem in _of_model(model, contents):
            yield f"{model['name']} {problem}"
    for table, column in ((tuning_events, "data"), (tuning_checkpoints, "metrics")):
        for row in scope.connection.execute(select(table.c.id, table.c[column])):
            if row[1] is not None and not is_json(row[1]):
                yield f"{row.id} has {column} that are no JSON"


def _of_state(job: RowMapping) -> Iterator[str]:
    state = job["state"]
    if state not in frozenset(TuningState):
        yield f"is in an unknown state, {state!r}"
        return
    if (state in UNDER_WAY) != (job["ended_at"] is None):
        yield f"is {state} and its end does not fit"
    if state == TuningState.RUNNING and job["begun_at"] is None:
        yield "is running and does not say since when"
    if state not in UNDER_WAY and job["lease_expires_at"] is not None:
        yield f"is {state} and somebody works on it"
    if (state == TuningState.SUCCEEDED) != (job["fine_tuned_model"] is not None):
        yield f"is {state} and its model does not fit"
    if (state == TuningState.FAILED) != (job["error"] is not None):
        yield f"is {state} and its error does not fit"
    if min(job["trained_tokens"], job["planned_tokens"], job["cpu_us"]) < 0:
        yield "counts less than nothing"
    for name in _TEXTS:
        if job[name] is not None and not is_json(job[name]):
            yield f"has {name} that are no JSON"


def _of_inputs(job: RowMapping, contents: Contents) -> Iterator[str]:
    project, ends = job["project_id"], job["state"] not in UNDER_WAY
    wanted = {
        "training": (training_input(job["id"]), not ends),
        "validation": (validation_input(job["id"]), not ends and job["validation_file_id"] is not None),
    }
    for what, (owner, expected) in wanted.items():
        found = len(contents.get((project, owner), ()))
        if found != int(expected):
            yield f"is {job['state']} and has {found} contents of its {what} file"


def _of_model(model: RowMapping, contents: Contents) -> Iterator[str]:
    found = contents.get((model["project_id"], model["name"]), ())
    if len(found) != 1:
        yield f"has {len(found)} contents"
        return
    if not is_json(model["config"]):
        yield "has a configuration that is no JSON"
    if adapter_identity(model["config"], found[0]) != model["identity"]:
        yield "is another adapter than it says"
