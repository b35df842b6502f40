"""What is served, whether it works, and how it describes itself."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from pennyweight.api import Engine
from pennyweight.errors import ConfigError
from tests.server.live import live_server

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.live import LiveServer


def test_models(client: openai.OpenAI, server: LiveServer) -> None:
    listed = client.models.list().data
    names = [server.model, "all-minilm-l6-v2"]
    aliases = ["gpt-4o-mini", "gpt-4o-mini-2024-07-18", "text-embedding-3-small"]
    assert [model.id for model in listed] == names + aliases
    for model in listed:
        assert model == client.models.retrieve(model.id)
    assert [model.model_extra["root"] for model in listed[2:]] == [names[0], names[0], names[1]]


def test_aliases(engine: Engine) -> None:
    tuned = "ft:gpt-4o-mini-2024-07-18:acme::abc/1"
    with live_server(engine, aliases={tuned: engine.name}) as server, server.client() as client:
        assert client.models.retrieve(tuned).id == tuned
        for name in (tuned, "gpt-4o-mini"):
            answer = client.chat.completions.create(
                model=name, messages=[{"role": "user", "content": "Hi"}], max_tokens=2
            )
            assert answer.model == server.model


def test_an_alias_of_nothing(engine: Engine) -> None:
    with (
        pytest.raises(ConfigError, match="'other', which is not served"),
        live_server(engine, aliases={"a": "other"}),
    ):
        pass


def test_metrics(client: openai.OpenAI, server: LiveServer) -> None:
    client.chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": "Hi"}], max_tokens=9, stream=False
    )
    httpx.get(f"{server.url}/made/up")
    reply = httpx.get(f"{server.url}/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    values = {
        sample.name + str(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }
    model = f"[('model', '{server.model}')]"
    assert values[f"pennyweight_tokens_generated_total{model}"] >= 9
    assert values[f"pennyweight_kv_pages{model}"] > 0
    assert values[f"pennyweight_answers_running{model}"] == 0
    assert values[f"pennyweight_model_loads_total{model}"] == 1
    assert values[f"pennyweight_time_to_first_token_seconds_count{model}"] >= 1
    answered = "[('path', '/v1/chat/completions'), ('status', '200')]"
    assert values[f"pennyweight_http_responses_total{answered}"] >= 1
    assert values["pennyweight_http_responses_total[('path', 'other'), ('status', '404')]"] >= 1
    assert "/made/up" not in reply.text


def test_moderations_are_not_there_yet(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="not there yet"):
        client.moderations.create(input="x")


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


@pytest.mark.parametrize("path", ["/live", "/health"])
def test_health_without_a_body(server: LiveServer, path: str) -> None:
    reply = httpx.head(server.url + path)
    assert (reply.status_code, reply.content) == (200, b"")
    assert reply.headers["content-type"] == httpx.get(server.url + path).headers["content-type"]


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
    assert {"/v1/chat/completions", "/v1/models", "/v1/models/{model}", "/metrics"} <= set(api["paths"])
    chat = api["paths"]["/v1/chat/completions"]["post"]
    body = chat["requestBody"]["content"]["application/json"]
    assert body["schema"]["required"] == ["model", "messages"]
    assert body["schema"]["properties"]["temperature"]["maximum"] == 2
    assert set(chat["responses"]) == {"200", "400", "401", "404", "413", "503"}
    assert "HTTPValidationError" not in str(api)


def test_the_openapi_document_describes_the_parameters_of_every_path(server: LiveServer) -> None:
    api = httpx.get(f"{server.url}/openapi.json").json()
    for path, operations in api["paths"].items():
        for operation in operations.values():
            described = [item["name"] for item in operation.get("parameters", []) if item["in"] == "path"]
            assert described == re.findall(r"{(\w+)", path)
