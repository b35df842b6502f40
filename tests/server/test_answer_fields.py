"""Every honoured field of plain completions and Responses does what it says, and would be missed.

One proof per field of each table: it must hold, and it must not when the field is lost before the engine. A
new field without a proof fails here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.completion_fields import COMPLETION_FIELDS
from pennyweight.answers.responses_fields import RESPONSES_FIELDS
from pennyweight.api import Engine
from tests.models.gguf_writer import write_gguf
from tests.models.tiny import llama_shape, tiny_metadata, tiny_tensors
from tests.models.tiny_vocabulary import CHATML_TEMPLATE
from tests.server.asking import Asker
from tests.server.live import live_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.asking import Reply
    from tests.server.live import LiveServer

    Proof = Callable[[Asker], bool]

END, A, Z = "2", str(3 + ord("a")), str(3 + ord("z"))  # token ids of the tiny vocabulary
TEXT = "Tell me about the weather."
ON_OR_OFF = {
    "type": "object",
    "properties": {"on": {"type": "boolean"}},
    "required": ["on"],
    "additionalProperties": False,
}
SWITCH = {
    "type": "function",
    "name": "switch",
    "parameters": ON_OR_OFF,
    "strict": True,
}
DIAL = {**SWITCH, "name": "dial"}
MANY_TURNS = [{"role": role, "content": "w" * 90} for role in ("user", "assistant") * 15 + ("user",)]
CALLED = {"tools": [SWITCH], "tool_choice": "required"}
LOGPROBS = "message.output_text.logprobs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A model whose template has a variable to set."""
    shape = llama_shape(context_length=2048)
    template = "{% if greeting %}{{ greeting }}\n{% endif %}" + CHATML_TEMPLATE
    metadata = tiny_metadata(shape) | {"tokenizer.chat_template": template}
    path = write_gguf(tmp_path_factory.mktemp("answers") / "tiny.gguf", metadata, tiny_tensors(shape))
    with Engine.open(path, parallel=4, threads=1) as engine, live_server(engine) as server:
        yield server


def text(reply: Reply) -> str:
    if "choices" in reply.body:
        return str(reply.choice["text"])
    return "".join(item["content"][0]["text"] for item in reply.body["output"] if item["type"] == "message")


def tokens(reply: Reply) -> int:
    usage = reply.body["usage"]
    return int(usage.get("completion_tokens", usage.get("output_tokens")))


def calls(reply: Reply) -> list[str]:
    return [item["name"] for item in reply.body["output"] if item["type"] == "function_call"]


def scores(reply: Reply) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = reply.body["output"][0]["content"][0]["logprobs"]
    return found


def likeliest(**fields: Any) -> Proof:
    return lambda ask: text(ask(temperature=2, seed=3, **fields)) == text(ask())


def penalty(**fields: Any) -> Proof:
    return lambda ask: text(ask(logit_bias={A: 12}, **fields)) != text(ask(logit_bias={A: 12}))


SAMPLING: dict[str, Proof] = {
    "model": lambda ask: ask(model="nobody").status == 404,
    "temperature": lambda ask: text(ask(temperature=0, seed=1)) == text(ask(temperature=0, seed=2)),
    "seed": lambda ask: len({text(ask(temperature=1, seed=1)) for _ in range(4)}) == 1,
    "stop": lambda ask: text(ask(logit_bias={Z: 100}, stop="zzz")) == "",
    "logit_bias": lambda ask: text(ask(logit_bias={Z: 100})).startswith("zzzz"),
    "top_p": likeliest(top_p=1e-6),
    "top_k": likeliest(top_k=1),
    "min_p": likeliest(min_p=1),
    "presence_penalty": penalty(presence_penalty=2),
    "frequency_penalty": penalty(frequency_penalty=2),
    "repetition_penalty": penalty(repetition_penalty=2),
    "stop_token_ids": lambda ask: text(ask(logit_bias={Z: 100}, stop_token_ids=[int(Z)])) == "",
    "min_tokens": lambda ask: tokens(ask(logit_bias={END: 100}, min_tokens=3)) == 4,
    "ignore_eos": lambda ask: tokens(ask(logit_bias={END: 100}, ignore_eos=True)) == 24,
    "stream": lambda ask: ask(stream=True).http.headers["content-type"].startswith("text/event-stream"),
}
COMPLETIONS: dict[str, Proof] = SAMPLING | {
    "prompt": lambda ask: text(ask(prompt="Something else.")) != text(ask()),
    "max_tokens": lambda ask: tokens(ask(max_tokens=3, ignore_eos=True)) == 3,
    "n": lambda ask: len(ask(n=3).body["choices"]) == 3,
    "logprobs": lambda ask: len(ask(logprobs=2).choice["logprobs"]["top_logprobs"][0]) == 2,
    "echo": lambda ask: text(ask(echo=True)).startswith(TEXT),
    "best_of": lambda ask: (ask(best_of=1).status, ask(best_of=2).status) == (200, 400),
    "stream_options": lambda ask: (
        ask(stream=True, stream_options={"include_usage": True}).chunks[-1]["usage"]["total_tokens"] > 0
    ),
    "usage": lambda ask: ask(usage={"include": True}).body["usage"]["cost"] > 0,
}
RESPONSES: dict[str, Proof] = SAMPLING | {
    "input": lambda ask: text(ask(input="Something else.")) != text(ask()),
    "instructions": lambda ask: text(ask(instructions="Be kind.")) != text(ask()),
    "tools": lambda ask: calls(ask(**CALLED, max_output_tokens=200))[0] == "switch",
    "tool_choice": lambda ask: (
        set(
            calls(
                ask(
                    tools=[SWITCH, DIAL],
                    tool_choice={"type": "function", "name": "dial"},
                    max_output_tokens=200,
                )
            )
        )
        == {"dial"}
    ),
    "parallel_tool_calls": lambda ask: (
        # The tiny model was never taught tools: only if asked to it makes several calls.
        len(calls(ask(parallel_tool_calls=True, logit_bias={END: -100}, max_output_tokens=300, **CALLED))) > 1
    ),
    "text": lambda ask: (
        set(
            json.loads(
                text(
                    ask(
                        text={"format": {"type": "json_schema", "name": "s", "schema": ON_OR_OFF}},
                        max_output_tokens=200,
                    )
                )
            )
        )
        >= {"on"}
    ),
    "reasoning": lambda ask: (
        (ask(reasoning={"effort": "none"}).status, ask(reasoning={"effort": "low"}).status) == (200, 400)
    ),
    "store": lambda ask: ask(store=False).body["store"] is False,
    "previous_response_id": lambda ask: ask(previous_response_id=ask().body["id"]).prompt > ask().prompt,
    "conversation": lambda ask: ask(conversation="conv_nobody").status == 404,
    "truncation": lambda ask: ask(truncation="auto", input=MANY_TURNS).status == 200,
    "background": lambda ask: ask(background=True).body["status"] == "queued",
    "metadata": lambda ask: ask(metadata={"a": "b"}).body["metadata"] == {"a": "b"},
    "max_output_tokens": lambda ask: tokens(ask(max_output_tokens=3, ignore_eos=True)) == 3,
    "top_logprobs": lambda ask: len(scores(ask(top_logprobs=2))[0]["top_logprobs"]) == 2,
    "include": lambda ask: len(scores(ask(include=[LOGPROBS]))) > 0,
    "chat_template_kwargs": lambda ask: text(ask(chat_template_kwargs={"greeting": "Hail"})) != text(ask()),
    "usage": lambda ask: ask(usage={"include": True}).body["usage"]["cost"] > 0,
}
ENDPOINTS: dict[str, tuple[dict[str, Proof], list[str], dict[str, Any]]] = {
    "/v1/completions": (
        COMPLETIONS,
        [field.name for field in COMPLETION_FIELDS.honoured],
        {"prompt": TEXT, "max_tokens": 24, "temperature": 0},
    ),
    "/v1/responses": (
        RESPONSES,
        [field.name for field in RESPONSES_FIELDS.honoured],
        {"input": TEXT, "max_output_tokens": 24, "temperature": 0},
    ),
}
CASES = [(path, name) for path, (_, names, _) in ENDPOINTS.items() for name in names]


def asker(server: LiveServer, path: str, without: str | None = None) -> Asker:
    defaults = {"model": server.model, **ENDPOINTS[path][2]}
    return Asker(url=server.url + path, defaults=defaults, without=without)


@pytest.mark.parametrize("path", ENDPOINTS)
def test_every_honoured_field_has_a_proof(path: str) -> None:
    proofs, names, _ = ENDPOINTS[path]
    assert sorted(proofs) == sorted(names)


@pytest.mark.parametrize(("path", "name"), CASES)
def test_a_field_does_what_it_says(server: LiveServer, path: str, name: str) -> None:
    assert ENDPOINTS[path][0][name](asker(server, path))


@pytest.mark.parametrize(("path", "name"), CASES)
def test_a_field_that_is_lost_is_missed(server: LiveServer, path: str, name: str) -> None:
    try:
        held = ENDPOINTS[path][0][name](asker(server, path, without=name))
    except (AssertionError, KeyError, IndexError, TypeError, ValueError):
        held = False
    assert not held
