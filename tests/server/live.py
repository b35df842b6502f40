"""A real server on a free port: uvicorn on a thread, the real engine on a tiny model."""

from __future__ import annotations

import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai
import uvicorn

from pennyweight.config import Settings
from pennyweight.server.app import create_app, working
from pennyweight.server.serve import bind, server_config
from pennyweight.server.services import open_services
from pennyweight.serving import OneModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from pennyweight.api import Engine
    from pennyweight.server.services import Services

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveServer:
    """`url` without a path; `model` is the name served."""

    url: str
    port: int
    model: str
    engine: Engine
    services: Services

    def client(self, api_key: str = "any", *, strict: bool = True) -> openai.OpenAI:
        """The official client, without retries; `strict` checks every answer against its types."""
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=api_key, max_retries=0, _strict_response_validation=strict
        )


@contextmanager
def live_server(engine: Engine, *, max_body_bytes: int = 2**20, **settings: Any) -> Iterator[LiveServer]:
    """`settings` are those of `Settings`."""
    with tempfile.TemporaryDirectory() as folder:
        own = Settings(**{"data": folder, "max_body_bytes": max_body_bytes, **settings})
        with open_services(own) as services:
            app = create_app(OneModel(engine), own, services, encoder=engine.encoder)
            with working(app):
                yield from _served(app, engine, services)


def _served(app: FastAPI, engine: Engine, services: Services) -> Iterator[LiveServer]:
    server = uvicorn.Server(server_config(app))
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            eventually(lambda: server.started)
            url = f"http://127.0.0.1:{port}"
            yield LiveServer(url=url, port=port, model=engine.name, engine=engine, services=services)
        finally:
            server.should_exit = True
            thread.join()


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)
