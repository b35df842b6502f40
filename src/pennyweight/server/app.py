"""The HTTP application: routes over one engine, our own error shape, an optional key. A composition root."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from pennyweight.answers.embedding_exchange import EmbeddingBackend
from pennyweight.answers.exchange import Backend
from pennyweight.answers.foreign_ids import ForeignIds
from pennyweight.answers.served import ServedModel, ServedModels
from pennyweight.server.auth import BearerAuth
from pennyweight.server.doors import Doors
from pennyweight.server.envelope import install_error_handlers
from pennyweight.server.metrics import CountResponses, MeteredAnswers, Metrics
from pennyweight.server.request_id import RequestId
from pennyweight.server.routes.chat import ChatLimits, chat_routes
from pennyweight.server.routes.completions import completions_routes
from pennyweight.server.routes.docs import docs_routes
from pennyweight.server.routes.embeddings import embedding_routes
from pennyweight.server.routes.health import health_routes
from pennyweight.server.routes.metrics import metrics_routes
from pennyweight.server.routes.models import models_routes
from pennyweight.server.routes.moderations import moderations_routes
from pennyweight.server.routes.responses import responses_routes
from pennyweight.server.routes.tokens import tokens_routes

if TYPE_CHECKING:
    from pennyweight.api import Engine
    from pennyweight.config import Settings
    from pennyweight.server.services import Services

PING_S = 15.0
_READABLE_HEADERS = ("x-request-id", "x-pennyweight-ignored", "openai-processing-ms", "retry-after")


def create_app(
    engine: Engine,
    settings: Settings,
    services: Services,  # noqa: ARG001  the routes that store something come next
    *,
    ping_s: float = PING_S,
) -> FastAPI:
    """An ASGI application over `engine` and `services`, which the caller opens and closes."""
    from pennyweight import __version__

    # FastAPI's own documentation pages load scripts from elsewhere: ours stands on its own.
    app = FastAPI(
        title="Pennyweight",
        summary="OpenAI's interface on this machine.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    install_error_handlers(app)
    model = ServedModel(name=engine.name, created=engine.created, fingerprint=engine.fingerprint)
    encoder = ServedModel(
        name=engine.encoder.name, created=engine.encoder.created, fingerprint="", task="embeddings"
    )
    served = ServedModels([model, encoder], aliases=settings.aliases)
    info = {"version": __version__, "model": engine.name, "target": engine.target}
    metrics = Metrics(engine.stats, info=info)
    folder = None if settings.vocabularies is None else Path(settings.vocabularies)
    foreign = ForeignIds(engine.answerer.tokenizer, folder=folder)
    answers = MeteredAnswers(engine.answerer, metrics)
    backend = Backend(answers=answers, answerer=engine.answerer, served=served, foreign=foreign)
    limits = ChatLimits(max_body_bytes=settings.max_body_bytes, ping_s=ping_s)
    app.include_router(chat_routes(backend, limits))
    app.include_router(completions_routes(backend, limits))
    app.include_router(responses_routes(backend, limits))
    template = engine.model.metadata.get("tokenizer.chat_template")
    app.include_router(tokens_routes(engine.answerer, served, limits, chat_template=template))
    vectors = EmbeddingBackend(
        source=engine.encoder,
        served=served,
        foreign=foreign,
        worker=ThreadPoolExecutor(max_workers=1, thread_name_prefix="pennyweight-embeddings"),
    )
    app.include_router(embedding_routes(vectors, max_body_bytes=settings.max_body_bytes))
    app.include_router(models_routes(served))
    app.include_router(moderations_routes())
    app.include_router(health_routes(engine))
    app.include_router(metrics_routes(metrics))
    app.include_router(docs_routes())
    _add_middleware(app, settings, metrics)
    return app


def _add_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """The last one added is the outermost."""
    if settings.api_key is not None:
        app.add_middleware(BearerAuth, api_key=settings.api_key)
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
