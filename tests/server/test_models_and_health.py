"""What is served, whether it works, and how it describes itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from pennyweight.api import Engine
from tests.server.live import live_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.live import LiveServer


def test_models(client: openai.OpenAI, server: LiveServer) -> None:
    (model,) = client.models.list().data
    assert model.id == server.model
    assert model == client.models.retrieve(server.model)


def test_a_model_that_is_not_served(client: openai.OpenAI, server: LiveServer) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("some/other")
    assert caught.value.code == "model_not_found"
    assert server.model in caught.value.message


def test_health(server: LiveServer) -> None:
    health = httpx.get(f"{server.url}/health").json()
    assert health["status"] == "ok"
    assert health["model"] == server.model
    assert health["target"] == server.engine.target
    assert health["queue"]["waiting"] == 0


def test_an_engine_that_has_stopped(tiny_llama_path: Path) -> None:
    engine = Engine.open(tiny_llama_path, parallel=1, threads=1)
    with live_server(engine) as server, server.client() as client:
        engine.close()
        health = httpx.get(f"{server.url}/health")
        assert health.status_code == 503
        assert health.json()["error"]["code"] == "engine_stopped"
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=server.model, messages=[{"role": "user", "content": "Hi"}])
        assert caught.value.status_code == 503


def test_the_documentation_needs_nothing_from_elsewhere(server: LiveServer) -> None:
    reply = httpx.get(f"{server.url}/docs")
    assert reply.status_code == 200
    assert not re.search(r"(src|href)=\"(https?:)?//", reply.text)
    assert "default-src 'none'" in reply.headers["content-security-policy"]


def test_the_openapi_document_describes_chat_completions(server: LiveServer) -> None:
    api = httpx.get(f"{server.url}/openapi.json").json()
    assert set(api["paths"]) == {"/v1/chat/completions", "/v1/models", "/v1/models/{model}", "/health"}
    chat = api["paths"]["/v1/chat/completions"]["post"]
    body = chat["requestBody"]["content"]["application/json"]
    assert body["schema"]["required"] == ["model", "messages"]
    assert body["schema"]["properties"]["temperature"]["maximum"] == 2
    assert set(chat["responses"]) == {"200", "400", "401", "404", "413", "503"}
    assert "HTTPValidationError" not in str(api)
