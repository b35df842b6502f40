"""A model with an adapter, asked by its name at every endpoint of a real server."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.jobs.requests import chat_line
from tests.models.adapter.tiny_adapter import write_adapter
from tests.models.tiny import llama_shape
from tests.server.batching import created, ended, lines_of
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

NAMES = [f"poet-{number}" for number in range(8)]
OLD = "ft:gpt-4o-mini-2024-07-18:acme::old"
QUESTION: Any = [{"role": "user", "content": "Tell me of the sea, and of ships, and of the storms."}]


@pytest.fixture(scope="module")
def server(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("adapters")
    shape = llama_shape()
    folders = {name: write_adapter(folder / name, shape, seed=seed) for seed, name in enumerate(NAMES)}
    adapters = {name: str(path) for name, path in folders.items()}
    with live_server(engine, adapters=adapters, aliases={OLD: NAMES[0]}) as server:
        yield server


def said(client: openai.OpenAI, model: str, **fields: Any) -> Any:
    return client.chat.completions.create(
        model=model, messages=QUESTION, temperature=0, max_tokens=12, **fields
    )


def test_each_answers_otherwise_and_under_its_name(client: openai.OpenAI, server: LiveServer) -> None:
    answers = [said(client, name) for name in [server.model, *NAMES]]
    assert [answer.model for answer in answers] == [server.model, *NAMES]
    assert len({answer.choices[0].message.content for answer in answers}) >= 8
    assert len({answer.system_fingerprint for answer in answers}) == 9


def test_the_cache_is_never_shared(client: openai.OpenAI, server: LiveServer) -> None:
    question: Any = [{"role": "user", "content": "A long question of its own. " * 30}]

    def cached(model: str) -> int:
        answer: Any = client.chat.completions.create(model=model, messages=question, max_tokens=1)
        return int(answer.usage.prompt_tokens_details.cached_tokens)

    names = [server.model, NAMES[0], NAMES[1]]
    assert [cached(name) for name in names] == [0, 0, 0]
    assert all(cached(name) > 0 for name in names)


def test_eight_at_once_are_each_alone(client: openai.OpenAI, server: LiveServer) -> None:
    """To the bit: log-probabilities are compared as they are."""

    def scores(model: str) -> list[tuple[str, float]]:
        choice = said(client, model, logprobs=True).choices[0]
        return [(token.token, token.logprob) for token in choice.logprobs.content]

    names = [*NAMES, server.model]
    alone = [scores(name) for name in names]
    together: dict[str, Any] = {}
    threads = [
        threading.Thread(target=lambda name=name: together.update({name: scores(name)})) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [together[name] for name in names] == alone


def test_every_way_to_ask(client: openai.OpenAI, loose_client: openai.OpenAI) -> None:
    name = NAMES[2]
    expected = said(client, name).choices[0].message.content
    with said(client, name, stream=True) as stream:
        chunks = list(stream)
    assert {chunk.model for chunk in chunks} == {name}
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == expected
    response = loose_client.responses.create(
        model=name, input=QUESTION, temperature=0, max_output_tokens=12, store=False
    )
    assert (response.model, response.output_text) == (name, expected)
    asked = {"model": name, "prompt": "The sea", "temperature": 0, "max_tokens": 4}
    completion = loose_client.completions.create(**asked, echo=True, logprobs=1)
    assert completion.model == name
    assert completion.choices[0].text.startswith("The sea")
    base = loose_client.completions.create(**asked | {"model": NAMES[3]}, echo=True, logprobs=1)
    assert base.choices[0].logprobs != completion.choices[0].logprobs


def test_a_batch(client: openai.OpenAI) -> None:
    lines = [chat_line(0, model=NAMES[4], messages=QUESTION, temperature=0, max_tokens=12)]
    batch = ended(client, created(client, b"\n".join(json.dumps(line).encode() for line in lines)))
    (line,) = lines_of(client, batch.output_file_id)
    body = line["response"]["body"]
    assert body["model"] == NAMES[4]
    assert body["choices"][0]["message"]["content"] == said(client, NAMES[4]).choices[0].message.content


def test_names(client: openai.OpenAI, server: LiveServer) -> None:
    listed = {model.id: model for model in client.models.list().data}
    assert {*NAMES, OLD} <= listed.keys()
    for name in (NAMES[0], OLD):
        model = client.models.retrieve(name)
        assert model == listed[name]
        assert model.model_extra is not None
        assert model.model_extra["parent"] == server.model
    assert said(client, OLD).model == NAMES[0]
    tokens = httpx.post(f"{server.url}/tokenize", json={"model": NAMES[0], "prompt": "The sea"}).json()
    assert tokens["count"] > 0
    for name in (NAMES[0], server.model, OLD):
        with pytest.raises(openai.BadRequestError):
            client.models.delete(name)
    with pytest.raises(openai.NotFoundError, match="poet-1"):
        client.models.delete("poet-11")


def test_metrics_tell_models_apart(client: openai.OpenAI, server: LiveServer) -> None:
    said(client, NAMES[5])
    text = httpx.get(f"{server.url}/metrics").text
    assert f'pennyweight_time_to_first_token_seconds_count{{model="{NAMES[5]}"}}' in text
    assert f'pennyweight_adapters{{model="{server.model}"}} {server.engine.stats().adapters}' in text
    assert server.engine.stats().adapter_loads >= 1


def test_what_cannot_be_loaded_is_told(engine: Engine, tmp_path: Any) -> None:
    other = write_adapter(tmp_path / "other", llama_shape(d_model=96))
    with live_server(engine, adapters={"other": str(other)}) as server, server.client() as client:
        with pytest.raises(openai.InternalServerError, match="it was trained for another model") as caught:
            said(client, "other")
        assert caught.value.status_code == 503
        assert said(client, server.model).choices
