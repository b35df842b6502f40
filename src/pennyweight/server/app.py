"""The HTTP application: routes over one engine and one store, our own error shape. A composition root."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from starlette.middleware.cors import CORSMiddleware

from pennyweight.history.assistants.run_queue import RunQueue
from pennyweight.history.assistants.run_work import RunWork
from pennyweight.history.assistants.thread_shelf import ThreadShelf
from pennyweight.history.background import Background
from pennyweight.history.bell import Bell
from pennyweight.history.chats import Chats
from pennyweight.history.conversations import ConversationShelf
from pennyweight.history.recording import Recording, load_redaction
from pennyweight.history.response_work import ResponseWork
from pennyweight.history.responses import Responses
from pennyweight.history.work import Later
from pennyweight.jobs.batch_input import InputLimits
from pennyweight.jobs.batch_run import Workshop
from pennyweight.jobs.batch_worker import BatchWorker
from pennyweight.jobs.generation_worker import Desk, GenerationWorker
from pennyweight.jobs.new_batch import QueueLimits
from pennyweight.jobs.trainer_process import Trainer
from pennyweight.jobs.tunable import TunableModels
from pennyweight.jobs.tuned_shelf import TunedShelf
from pennyweight.jobs.tuning_run import TuningShop
from pennyweight.jobs.tuning_worker import TuningWorker
from pennyweight.jobs.work_folder import WORK_FOLDERS, machine_plan
from pennyweight.quota.rates import RATE_KINDS
from pennyweight.retrieval.encoding import ChunkEncoder
from pennyweight.retrieval.file_search import FileSearches
from pennyweight.retrieval.ingestion import IngestionWorker, Library
from pennyweight.retrieval.search import Searcher
from pennyweight.server.auth import Authentication
from pennyweight.server.doors import Doors
from pennyweight.server.elsewhere import models_elsewhere
from pennyweight.server.envelope import install_error_handlers
from pennyweight.server.idempotency import Idempotency
from pennyweight.server.metering import Metering
from pennyweight.server.metrics import CountResponses, MeteredAnswers, Metrics
from pennyweight.server.openapi import DescribedApp
from pennyweight.server.organization import Office
from pennyweight.server.paths import Paths
from pennyweight.server.request_id import RequestId
from pennyweight.server.routes.admin_keys import admin_key_routes
from pennyweight.server.routes.assistants import assistant_routes
from pennyweight.server.routes.batches import batch_routes
from pennyweight.server.routes.chat import ChatLimits, chat_routes
from pennyweight.server.routes.completions import completions_routes
from pennyweight.server.routes.conversations import conversation_routes
from pennyweight.server.routes.docs import docs_routes
from pennyweight.server.routes.embeddings import embedding_routes
from pennyweight.server.routes.files import file_routes
from pennyweight.server.routes.fine_tuning import Tuning, fine_tuning_routes
from pennyweight.server.routes.health import ServerStatus, health_routes
from pennyweight.server.routes.metrics import metrics_routes
from pennyweight.server.routes.models import models_routes
from pennyweight.server.routes.moderations import moderations_routes
from pennyweight.server.routes.project_keys import project_key_routes
from pennyweight.server.routes.projects import project_routes
from pennyweight.server.routes.rate_limits import rate_limit_routes
from pennyweight.server.routes.responses import responses_routes
from pennyweight.server.routes.run_steps import run_step_routes
from pennyweight.server.routes.runs import run_routes
from pennyweight.server.routes.service_accounts import service_account_routes
from pennyweight.server.routes.stored_chats import stored_chat_routes
from pennyweight.server.routes.stored_responses import stored_response_routes
from pennyweight.server.routes.thread_messages import thread_message_routes
from pennyweight.server.routes.threads import thread_routes
from pennyweight.server.routes.tokens import tokens_routes
from pennyweight.server.routes.usage import usage_routes
from pennyweight.server.routes.vector_store_files import (
    vector_store_batch_routes,
    vector_store_file_routes,
)
from pennyweight.server.routes.vector_stores import Retrieval, vector_store_routes
from pennyweight.server.vector_metering import vector_meter
from pennyweight.serving import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from pennyweight.config import Settings
    from pennyweight.encoder import EncoderSlot
    from pennyweight.history.work import Work
    from pennyweight.server.services import Services
    from pennyweight.serving import ModelsHere, Serving
    from pennyweight.store.generation import Kind

PING_S = 15.0
_RATE_HEADERS = tuple(
    f"x-ratelimit-{what}-{kind}" for kind in RATE_KINDS for what in ("limit", "remaining", "reset")
)
_READABLE_HEADERS = (
    *_RATE_HEADERS,
    "x-request-id",
    "x-pennyweight-ignored",
    "openai-processing-ms",
    "retry-after",
    "idempotent-replayed",
)


def create_app(
    here: ModelsHere | None,
    settings: Settings,
    services: Services,
    *,
    encoder: EncoderSlot,
    ping_s: float = PING_S,
) -> FastAPI:
    """An ASGI application over models and `services`, which the caller opens and closes.

    Without models `here` requests are only passed on. ConfigError if models served clash, or a key is
    missing.
    """
    from pennyweight import __version__

    # FastAPI's own documentation pages load scripts from elsewhere: ours stands on its own.
    app = DescribedApp(
        title="Pennyweight",
        summary="OpenAI's interface on this machine.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install_error_handlers(app)
    app.state.workers = []
    status = ServerStatus.of(here)
    metrics = Metrics(here, encoder.stats, info={"version": __version__, **status.info})
    metrics.watch_usage(lambda: services.usage.num_waiting)
    chunk_encoder = ChunkEncoder(encoder, meter=vector_meter(services.usage))
    searcher = Searcher(services.database, chunk_encoder)
    house = serving(
        here,
        encoder,
        settings,
        measured=lambda answers, model: MeteredAnswers(answers, metrics, model=model),
        elsewhere=models_elsewhere(settings.upstream.values(), metrics, environ=os.environ),
        passages=FileSearches(searcher),
        tuned=TunedShelf(services.database, services.blobs),
    )
    limits = ChatLimits(max_body_bytes=settings.max_body_bytes, ping_s=ping_s)
    for routes in (completions_routes, tokens_routes):
        app.include_router(routes(house.backend, limits))
    later = _add_worker(app, services, most_waiting=settings.max_queued_answers)
    _add_answers(app, house, services, later, limits, _recording(settings))
    app.include_router(embedding_routes(house.vectors, max_body_bytes=settings.max_body_bytes))
    app.include_router(models_routes(house.served))
    app.include_router(moderations_routes())
    _add_jobs(app, house, services, settings)
    _add_tuning(app, here, house, services, settings)
    retrieval = _add_retrieval(app, searcher, services, settings)
    _add_assistants(app, house, retrieval, later, limits)
    _add_organization(app, services, settings)
    app.include_router(health_routes(status))
    app.include_router(metrics_routes(metrics))
    app.include_router(docs_routes())
    _add_middleware(app, settings, services, metrics)
    return app


@contextmanager
def working(app: FastAPI) -> Iterator[None]:
    """While this is open, what was queued is answered, and files are read. It closes before the engine."""
    workers: list[BatchWorker | GenerationWorker | IngestionWorker | TuningWorker] = app.state.workers
    with ExitStack() as stack:
        for worker in workers:
            worker.start()
            stack.callback(worker.close)
        yield


def _add_worker(app: FastAPI, services: Services, *, most_waiting: int) -> Later:
    """What answers generations that nobody waits for."""
    bell = Bell()
    works: dict[Kind, Work] = {}
    desk = Desk(
        database=services.database,
        accounts=services.accounts,
        usage=services.usage,
        bell=bell,
        alone=_is_alone(services),
    )
    worker = GenerationWorker(desk, works)
    app.state.workers.append(worker)
    wake, drop = worker.wake, worker.drop
    return Later(bell=bell, works=works, wake=wake, drop=drop, most_waiting=most_waiting)


def _recording(settings: Settings) -> Recording:
    redact = None if settings.redact is None else load_redaction(settings.redact)
    return Recording(everything=settings.record, redact=redact)


def _add_answers(
    app: FastAPI, house: Serving, services: Services, later: Later, limits: ChatLimits, recording: Recording
) -> None:
    """Chats and responses, which may be kept and answered later, and what was."""
    database = services.database
    chats = Chats(database, house.backend, recording)
    responses = Responses(database, house.backend, recording)
    background = Background(database, responses, later)
    later.works["response"] = ResponseWork(database, responses)
    app.include_router(chat_routes(chats, limits))
    app.include_router(stored_chat_routes(chats, max_body_bytes=limits.max_body_bytes))
    app.include_router(responses_routes(responses, background, house.served, limits))
    app.include_router(stored_response_routes(responses, background, ping_s=limits.ping_s))
    shelf = ConversationShelf(database)
    app.include_router(conversation_routes(shelf, max_body_bytes=limits.max_body_bytes))


def _add_jobs(app: FastAPI, house: Serving, services: Services, settings: Settings) -> None:
    limits = InputLimits(max_line_bytes=settings.max_body_bytes)
    workshop = Workshop(
        database=services.database,
        blobs=services.blobs,
        endpoints=house.endpoints,
        check_model=house.check_model,
        limits=limits,
        accounts=services.accounts,
        under_way=services.folder / "lines-under-way",
    )
    worker = BatchWorker(workshop, alone=_is_alone(services))
    app.state.workers.append(worker)
    app.include_router(file_routes(services))
    queue = QueueLimits(
        max_batches=settings.max_queued_batches,
        max_bytes=settings.max_queued_batch_bytes,
        max_input_bytes=limits.max_bytes,
    )
    app.include_router(batch_routes(services, worker, queue, max_body_bytes=settings.max_body_bytes))


def _add_tuning(
    app: FastAPI, here: ModelsHere | None, house: Serving, services: Services, settings: Settings
) -> None:
    """Fine-tuning, by a process that starts when there is a job."""
    shop = TuningShop(
        database=services.database,
        blobs=services.blobs,
        accounts=services.accounts,
        trainer=Trainer.here(),
        folder=services.folder / WORK_FOLDERS,
        plan=machine_plan(settings),
    )
    worker = TuningWorker(shop, alone=_is_alone(services), at_once=settings.tuning_jobs)
    app.state.workers.append(worker)
    tunable = TunableModels(house.served, {} if here is None else here.sources())
    most = settings.max_body_bytes
    tuning = Tuning(services=services, worker=worker, tunable=tunable, max_body_bytes=most)
    app.include_router(fine_tuning_routes(tuning))


def _is_alone(services: Services) -> bool:
    """Whether no other process has the database: that of a data folder belongs to one server."""
    return services.database.url.get_backend_name() == "sqlite"


def _add_retrieval(app: FastAPI, searcher: Searcher, services: Services, settings: Settings) -> Retrieval:
    """Vector stores, and the thread that reads files into them."""
    library = Library(database=services.database, blobs=services.blobs, encoder=searcher.encoder)
    worker = IngestionWorker(library, alone=_is_alone(services))
    app.state.workers.append(worker)
    retrieval = Retrieval(
        database=services.database,
        worker=worker,
        searcher=searcher,
        max_body_bytes=settings.max_body_bytes,
    )
    for routes in (vector_store_routes, vector_store_file_routes, vector_store_batch_routes):
        app.include_router(routes(retrieval))
    return retrieval


def _add_assistants(
    app: FastAPI, house: Serving, retrieval: Retrieval, later: Later, limits: ChatLimits
) -> None:
    """Assistants, and threads that they answer later."""
    database, most = retrieval.database, limits.max_body_bytes
    shelf = ThreadShelf(database, read_files=retrieval.worker.wake)
    queue = RunQueue(database, house.backend, shelf, later)
    later.works["run"] = RunWork(database, house.backend)
    app.include_router(assistant_routes(database, house.backend, max_body_bytes=most))
    app.include_router(run_routes(queue, limits))  # before threads, of which none is named "runs"
    app.include_router(run_step_routes(database, queue))
    app.include_router(thread_routes(shelf, queue, max_body_bytes=most))
    app.include_router(thread_message_routes(database, shelf, max_body_bytes=most))


def _add_organization(app: FastAPI, services: Services, settings: Settings) -> None:
    office = Office(database=services.database, max_body_bytes=settings.max_body_bytes)
    for routes in (project_routes, rate_limit_routes, service_account_routes, project_key_routes):
        app.include_router(routes(office))
    app.include_router(admin_key_routes(office))
    app.include_router(usage_routes(services.database))


def _add_middleware(app: FastAPI, settings: Settings, services: Services, metrics: Metrics) -> None:
    """The last one added is the outermost."""
    app.add_middleware(Metering, journal=services.usage, prices=services.accounts.prices)
    app.add_middleware(
        Idempotency,
        database=services.database,
        max_body_bytes=settings.max_body_bytes,
        redacts=settings.redact is not None,
    )
    app.add_middleware(Paths)
    app.add_middleware(Authentication, keys=services.keys, accounts=services.accounts)
    if settings.allow_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allow_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=list(_READABLE_HEADERS),
        )
    hosts = {settings.host, *settings.allow_hosts}
    app.add_middleware(Doors, hosts=hosts, origins=settings.allow_origins)
    app.add_middleware(CountResponses, metrics=metrics)
    app.add_middleware(RequestId)
