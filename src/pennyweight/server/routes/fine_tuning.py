"""`/v1/fine_tuning/jobs`: models made better on this machine, by project."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import APIRouter, Request
from starlette.responses import Response  # noqa: TC002  FastAPI reads the annotation at run time

from pennyweight.jobs.new_tuning_job import add_tuning_job
from pennyweight.jobs.training_account import cancelled_usage
from pennyweight.jobs.tuning_request import MAX_SEED, TUNING_FIELDS, read_method
from pennyweight.server.auth import principal_of
from pennyweight.server.body import read_object
from pennyweight.server.envelope import json_response
from pennyweight.server.openapi_bodies import json_body
from pennyweight.server.organization_shapes import list_object
from pennyweight.server.paging import read_metadata, read_page, read_query
from pennyweight.server.tuning_shapes import checkpoint_object, event_object, job_object
from pennyweight.store.identifiers import new_id
from pennyweight.store.tuning_events import TuningEvents
from pennyweight.store.tuning_job import NewTuningJob, TuningJob
from pennyweight.store.tuning_jobs import TuningJobs
from pennyweight.store.usage import UsageRows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

    from pennyweight.jobs.tunable import Tunable
    from pennyweight.jobs.tuning_worker import TuningWorker
    from pennyweight.server.services import Services
    from pennyweight.store.blob import Blob

_PATH: Final = "/v1/fine_tuning/jobs"
_MAX_LISTED: Final = 100
_LISTED: Final = 20
_CHECKPOINTS_LISTED: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What the routes need: `worker` is told of what is new, `tunable` knows which models can be tuned."""

    services: Services
    worker: TuningWorker
    tunable: Callable[[str, str], Tunable]
    max_body_bytes: int


def fine_tuning_routes(tuning: Tuning) -> APIRouter:
    """The routes over one store."""
    router = APIRouter(tags=["fine-tuning"])
    database, jobs = tuning.services.database, TuningJobs()

    @router.post(
        _PATH,
        summary="Create a fine-tuning job",
        response_model=None,
        openapi_extra=json_body(TUNING_FIELDS),
    )
    async def create(request: Request) -> Response:
        principal = principal_of(request)
        values = TUNING_FIELDS.read(await read_object(request, limit=tuning.max_body_bytes))
        tuning.worker.trainer.check()
        new = _new_job(values, tuning.tunable(values["model"], principal.project), principal.key)
        job = await database.write(
            lambda connection: add_tuning_job(connection, new, principal.allowances), at="tuning_job.added"
        )
        tuning.worker.wake()
        return json_response(job_object(job))

    @router.get(_PATH, summary="List fine-tuning jobs", response_model=None)
    async def list_jobs(request: Request) -> Response:
        query = read_query(request, "after", "limit", "metadata")
        page = read_page(query, most=_MAX_LISTED, default=_LISTED)
        wanted, project = read_metadata(query), principal_of(request).project
        found = await database.read(lambda link: jobs.page(link, project, page, metadata=wanted))
        return json_response(list_object(found, job_object))

    @router.get(_PATH + "/{job_id}", summary="Retrieve a fine-tuning job", response_model=None)
    async def retrieve(request: Request) -> Response:
        own_id, project = request.path_params["job_id"], principal_of(request).project
        job = await database.read(lambda connection: jobs.get(connection, project, own_id))
        return json_response(job_object(job))

    _add_changes(router, tuning)
    _add_lists(router, tuning)
    return router


def _new_job(values: dict[str, Any], model: Tunable, key: str | None) -> NewTuningJob:
    method = read_method(values)
    return NewTuningJob(
        id=new_id("ftjob-"),
        project_id=model.project,
        key_id=key,
        model_asked=model.asked,
        model=model.name,
        source=model.source,
        method=method.type,
        hyperparameters=method.hyperparameters or {},
        training_file_id=values["training_file"],
        validation_file_id=values.get("validation_file"),
        suffix=values.get("suffix"),
        seed=values.get("seed", secrets.randbelow(MAX_SEED)),
        metadata=values.get("metadata", {}),
        created_at=int(time.time()),
    )


def _add_changes(router: APIRouter, tuning: Tuning) -> None:
    services, jobs, usage = tuning.services, TuningJobs(), UsageRows()
    database, prices = services.database, services.accounts.prices

    @router.post(_PATH + "/{job_id}/cancel", summary="Cancel a fine-tuning job", response_model=None)
    async def cancel(request: Request) -> Response:
        own_id, project = request.path_params["job_id"], principal_of(request).project
        now = int(time.time())

        def work(connection: Connection) -> tuple[TuningJob, list[Blob]]:
            job, blobs = jobs.cancel(connection, project, own_id, now=now)
            usage.add(connection, [cancelled_usage(job, prices)])
            return job, blobs

        job, unused = await database.write(work, at="tuning_job.cancelled")
        tuning.worker.wake()
        for blob in unused:
            await asyncio.to_thread(services.blobs.collect, blob)
        return json_response(job_object(job))

    @router.post(_PATH + "/{job_id}/pause", summary="Pause a fine-tuning job", response_model=None)
    async def pause(request: Request) -> Response:
        own_id, project = request.path_params["job_id"], principal_of(request).project
        now = int(time.time())
        job = await database.write(
            lambda connection: jobs.pause(connection, project, own_id, now=now), at="tuning_job.paused"
        )
        tuning.worker.wake()
        return json_response(job_object(job))

    @router.post(_PATH + "/{job_id}/resume", summary="Resume a fine-tuning job", response_model=None)
    async def resume(request: Request) -> Response:
        own_id, project = request.path_params["job_id"], principal_of(request).project
        now = int(time.time())
        job = await database.write(
            lambda connection: jobs.resume(connection, project, own_id, now=now), at="tuning_job.resumed"
        )
        tuning.worker.wake()
        return json_response(job_object(job))


def _add_lists(router: APIRouter, tuning: Tuning) -> None:
    database, jobs, events = tuning.services.database, TuningJobs(), TuningEvents()

    @router.get(_PATH + "/{job_id}/events", summary="List events of a fine-tuning job", response_model=None)
    async def list_events(request: Request) -> Response:
        page = read_page(read_query(request, "after", "limit"), most=_MAX_LISTED, default=_LISTED)
        own_id, project = request.path_params["job_id"], principal_of(request).project

        def work(connection: Connection) -> Any:
            job = jobs.get(connection, project, own_id)
            return list_object(events.page(connection, job.id, page), event_object)

        return json_response(await database.read(work))

    @router.get(
        _PATH + "/{job_id}/checkpoints",
        summary="List checkpoints of a fine-tuning job",
        response_model=None,
    )
    async def list_checkpoints(request: Request) -> Response:
        query = read_query(request, "after", "limit")
        page = read_page(query, most=_MAX_LISTED, default=_CHECKPOINTS_LISTED)
        own_id, project = request.path_params["job_id"], principal_of(request).project

        def work(connection: Connection) -> Any:
            job = jobs.get(connection, project, own_id)
            return list_object(events.checkpoints(connection, job.id, page), checkpoint_object)

        return json_response(await database.read(work))
