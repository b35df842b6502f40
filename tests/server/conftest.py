"""One engine and one server for all tests of a module."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.api import Engine
from tests.models.tiny import write_tiny_llama
from tests.server.assisting import STRICT
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai
    from openai.types.beta import Assistant

LONG_CONTEXT = 32_768  # so long that an answer without limit is still being written when a test stops it


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = write_tiny_llama(tmp_path_factory.mktemp("server") / "tiny-long.gguf", context_length=LONG_CONTEXT)
    with Engine.open(path, parallel=4, threads=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        yield server


@pytest.fixture
def client(server: LiveServer) -> Iterator[openai.OpenAI]:
    with server.client() as client:
        yield client


@pytest.fixture
def loose_client(server: LiveServer) -> Iterator[openai.OpenAI]:
    """For the places where the client's own types are narrower than OpenAI's service."""
    with server.client(strict=False) as client:
        yield client


@pytest.fixture
def assistant(client: openai.OpenAI, server: LiveServer) -> Assistant:
    return client.beta.assistants.create(
        model=server.model, name="Tutor", instructions="Be brief.", temperature=0
    )


@pytest.fixture
def caller(client: openai.OpenAI, server: LiveServer) -> Assistant:
    """An assistant that must call its tool."""
    return client.beta.assistants.create(model=server.model, tools=[STRICT], temperature=0)
