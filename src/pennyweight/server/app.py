"""The HTTP application: routes over one engine, our own error shape, an optional key. A composition root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from pennyweight.server.auth import BearerAuth
from pennyweight.server.envelope import install_error_handlers
from pennyweight.server.request_id import RequestId
from pennyweight.server.routes.chat import ChatLimits, chat_routes
from pennyweight.server.routes.docs import docs_routes
from pennyweight.server.routes.health import health_routes
from pennyweight.server.routes.models import models_routes
from pennyweight.server.served import ServedModel

if TYPE_CHECKING:
    from pennyweight.api import Engine

PING_S = 15.0


def create_app(
    engine: Engine, *, api_key: str | None, max_body_bytes: int, ping_s: float = PING_S
) -> FastAPI:
    """An ASGI application over `engine`, which the caller opens and closes."""
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
    served = ServedModel(name=engine.name, created=engine.created, fingerprint=engine.fingerprint)
    limits = ChatLimits(max_body_bytes=max_body_bytes, ping_s=ping_s)
    app.include_router(chat_routes(engine.answerer, served, limits))
    app.include_router(models_routes(served))
    app.include_router(health_routes(engine))
    app.include_router(docs_routes())
    if api_key is not None:
        app.add_middleware(BearerAuth, api_key=api_key)
    app.add_middleware(RequestId)  # added last: outermost
    return app
