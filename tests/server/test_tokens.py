"""`/tokenize` and `/detokenize` say what the model reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.api import Engine
from tests.server.live import live_server

if TYPE_CHECKING:
    from pathlib import Path

    import openai

    from tests.server.live import LiveServer

TEXT = "Grüße, the world"


def post(server: LiveServer, path: str, **body: Any) -> httpx.Response:
    return httpx.post(server.url + path, json=body)


def test_text_there_and_back(server: LiveServer) -> None:
    answer = post(server, "/tokenize", prompt=TEXT, model=server.model).json()
    assert answer["tokens"] == server.engine.answerer.tokenizer.encode(TEXT)
    assert answer["count"] == len(answer["tokens"])
    assert answer["max_model_len"] == server.engine.context
    assert answer["token_strs"] is None
    assert post(server, "/detokenize", tokens=answer["tokens"]).json() == {"prompt": TEXT}


def test_tools_are_counted_as_chat_counts_them(server: LiveServer, client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    tools: list[Any] = [{"type": "function", "function": {"name": "f", "description": "Does it."}}]
    chat = client.chat.completions.create(model=server.model, messages=messages, tools=tools, max_tokens=1)
    assert chat.usage is not None
    hosted = {"type": "web_search"}
    reply = post(server, "/tokenize", messages=messages, tools=[*tools, hosted])
    assert reply.json()["count"] == chat.usage.prompt_tokens
    assert reply.headers["x-pennyweight-ignored"] == "tools[web_search]"
    assert reply.json()["count"] > post(server, "/tokenize", messages=messages).json()["count"]


def test_messages_are_counted_as_chat_counts_them(server: LiveServer, client: openai.OpenAI) -> None:
    messages: list[Any] = [{"role": "user", "content": "Hi"}]
    chat = client.chat.completions.create(model=server.model, messages=messages, max_tokens=1)
    assert chat.usage is not None
    reply = post(server, "/tokenize", messages=[{**messages[0], "opts": 1}])
    assert reply.json()["count"] == chat.usage.prompt_tokens
    assert reply.headers["x-pennyweight-ignored"] == "messages[].opts"


def test_control_tokens_are_read_unless_told_and_always_written(server: LiveServer) -> None:
    name, control = next(iter(server.engine.answerer.tokenizer.special_tokens.items()))
    assert post(server, "/tokenize", prompt=name).json()["tokens"] == [control]
    assert control not in post(server, "/tokenize", prompt=name, parse_special=False).json()["tokens"]
    assert post(server, "/detokenize", tokens=[control]).json() == {"prompt": name}


def test_what_begins_and_ends_a_text(server: LiveServer) -> None:
    info = httpx.get(f"{server.url}/tokenizer_info").json()
    tokenizer = server.engine.answerer.tokenizer
    eos = post(server, "/tokenize", prompt=info["eos_token"]).json()["tokens"]
    assert eos == [tokenizer.eos_token_id]
    assert (info["vocab_size"], info["model_max_length"]) == (tokenizer.vocab_size, server.engine.context)
    assert "messages" in info["chat_template"]


def test_texts_of_tokens(server: LiveServer) -> None:
    answer = post(server, "/tokenize", prompt="ü!", return_token_strs=True).json()
    assert answer["token_strs"] == ["bytes:\\xc3", "bytes:\\xbc", "!"]


def test_a_model_that_begins_with_a_token_of_its_own(tiny_gemma_path: Path) -> None:
    with Engine.open(tiny_gemma_path, parallel=1, threads=1) as engine, live_server(engine) as gemma:
        bos = engine.answerer.tokenizer.bos_token_id
        with_bos = post(gemma, "/tokenize", prompt="the").json()["tokens"]
        without = post(gemma, "/tokenize", prompt="the", add_special_tokens=False).json()["tokens"]
        assert with_bos == [bos, *without]


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/tokenize", {}, "prompt"),
        ("/tokenize", {"prompt": "a", "messages": [{"role": "user", "content": "b"}]}, "prompt"),
        ("/tokenize", {"prompt": "a", "tools": []}, "tools"),
        (
            "/tokenize",
            {"messages": [{"role": "user", "content": "b"}], "tools": [{"type": "x"}]},
            "tools[0].type",
        ),
        ("/tokenize", {"prompt": 5}, "prompt"),
        ("/tokenize", {"prompt": "a", "add_generation_prompt": False}, "add_generation_prompt"),
        ("/tokenize", {"prompt": "a", "colour": 1}, "colour"),
        ("/tokenize", {"prompt": "a", "model": "nobody"}, "model"),
        ("/tokenize", {"prompt": "a", "model": "gpt-4o-mini"}, "model"),
        ("/detokenize", {"tokens": [1], "model": "gpt-4o-mini"}, "model"),
        ("/detokenize", {}, "tokens"),
        ("/detokenize", {"tokens": ["a"]}, "tokens[0]"),
        ("/detokenize", {"tokens": [1, 10**6]}, "tokens[1]"),
    ],
)
def test_what_is_wrong_is_named(server: LiveServer, path: str, body: dict[str, Any], param: str) -> None:
    reply = post(server, path, **body)
    assert reply.status_code in (400, 404)
    assert reply.json()["error"]["param"] == param


@pytest.mark.parametrize("path", ["/tokenize", "/detokenize", "/v1/completions", "/v1/responses"])
def test_a_key_is_asked_for_everywhere(engine: Engine, path: str) -> None:
    with live_server(engine, api_key="secret") as server:
        assert post(server, path).status_code == 401
