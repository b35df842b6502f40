"""Every honoured field of a chat body does what it says, and would be missed.

One proof per field of the table: it must hold, and it must fail when the field is lost before the engine.
A new field without a proof fails here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.answers.chat_fields import CHAT_FIELDS
from pennyweight.api import Engine
from tests.models.gguf_writer import write_gguf
from tests.models.tiny import llama_shape, tiny_metadata, tiny_tensors
from tests.models.tiny_vocabulary import CHATML_TEMPLATE
from tests.server.asking import Asker
from tests.server.live import live_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.server.live import LiveServer

    Proof = Callable[[Asker], None]

END, A, Z = "2", str(3 + ord("a")), str(3 + ord("z"))  # token ids of the tiny vocabulary
OTHER = [{"role": "user", "content": "Something else."}]
TRUE_OR_FALSE = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
SWITCH = {"name": "switch", "parameters": {**TRUE_OR_FALSE, "additionalProperties": False}, "strict": True}
TOOL = {"type": "function", "function": SWITCH}
DIAL = {"type": "function", "function": {**SWITCH, "name": "dial"}}
NAMED = {"type": "function", "function": {"name": "dial"}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A model whose template has a variable to set."""
    shape = llama_shape(context_length=2048)
    template = "{% if greeting %}{{ greeting }}\n{% endif %}" + CHATML_TEMPLATE
    metadata = tiny_metadata(shape) | {"tokenizer.chat_template": template}
    path = write_gguf(tmp_path_factory.mktemp("fields") / "tiny-fields.gguf", metadata, tiny_tensors(shape))
    with Engine.open(path, parallel=4, threads=1) as engine, live_server(engine) as server:
        yield server


def asker(server: LiveServer, without: str | None = None) -> Asker:
    question = [{"role": "user", "content": "Tell me about the weather."}]
    defaults = {"model": server.model, "messages": question, "max_tokens": 24, "temperature": 0}
    return Asker(url=f"{server.url}/v1/chat/completions", defaults=defaults, without=without)


def messages(ask: Asker) -> None:
    assert ask(messages=OTHER).text != ask().text


def model(ask: Asker) -> None:
    assert ask(model="nobody").status == 404


def usage(ask: Asker) -> None:
    assert ask(usage={"include": True}).body["usage"]["cost"] > 0


def max_completion_tokens(ask: Asker) -> None:
    assert ask(max_tokens=None, max_completion_tokens=3, ignore_eos=True).num_tokens == 3


def max_tokens(ask: Asker) -> None:
    assert ask(max_tokens=3, ignore_eos=True).num_tokens == 3


def temperature(ask: Asker) -> None:
    assert ask(seed=1).text == ask(seed=2).text


def only_the_likeliest(**fields: Any) -> Proof:
    def proof(ask: Asker) -> None:
        assert ask(temperature=2, seed=1, **fields).text == ask(temperature=2, seed=2, **fields).text

    return proof


def n(ask: Asker) -> None:
    assert [choice["index"] for choice in ask(n=3).body["choices"]] == [0, 1, 2]


def stop(ask: Asker) -> None:
    assert ask(logit_bias={Z: 100}, stop=["zzz"]).text == ""


def seed(ask: Asker) -> None:
    assert ask(temperature=1, seed=5).text == ask(temperature=1, seed=5).text


def penalty(**fields: float) -> Proof:
    def proof(ask: Asker) -> None:
        # Ten tokens far ahead of all others: which of them comes next is the penalty's doing.
        leaders = {str(token): 100 for token in range(int(A), int(A) + 10)}
        plain, fair = ask(logit_bias=leaders).text, ask(logit_bias=leaders, **fields).text
        assert len(set(fair)) > len(set(plain))

    return proof


def logit_bias(ask: Asker) -> None:
    assert set(ask(logit_bias={Z: 100}).text) == {"z"}


def logprobs(ask: Asker) -> None:
    assert len(ask(logprobs=True).choice["logprobs"]["content"]) > 0


def top_logprobs(ask: Asker) -> None:
    reply = ask(logprobs=True, top_logprobs=3)
    assert {len(token["top_logprobs"]) for token in reply.choice["logprobs"]["content"]} == {3}


def stop_token_ids(ask: Asker) -> None:
    reply = ask(logit_bias={Z: 100}, stop_token_ids=[int(Z)])
    assert (reply.text, reply.choice["finish_reason"]) == ("", "stop")


def min_tokens(ask: Asker) -> None:
    assert ask(logit_bias={END: 100}, min_tokens=5).num_tokens == 6


def ignore_eos(ask: Asker) -> None:
    assert ask(logit_bias={END: 100}, ignore_eos=True).num_tokens == 24


def stream(ask: Asker) -> None:
    assert len(ask(stream=True).chunks) > 2


def stream_options(ask: Asker) -> None:
    last = ask(stream=True, stream_options={"include_usage": True}).chunks[-1]
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] > 0


def tools(ask: Asker) -> None:
    reply = ask(tools=[TOOL], tool_choice="required", max_tokens=200)
    assert reply.choice["message"]["tool_calls"][0]["function"]["name"] == "switch"


def tool_choice(ask: Asker) -> None:
    reply = ask(tools=[TOOL, DIAL], tool_choice=NAMED, max_tokens=200)
    assert {call["function"]["name"] for call in reply.choice["message"]["tool_calls"]} == {"dial"}


def parallel_tool_calls(ask: Asker) -> None:
    fields = {"tools": [TOOL], "tool_choice": "required", "logit_bias": {END: -100}, "max_tokens": 300}
    reply = ask(parallel_tool_calls=True, **fields)
    assert len(reply.choice["message"]["tool_calls"]) > 1


def functions(ask: Asker) -> None:
    reply = ask(functions=[SWITCH], function_call={"name": "switch"}, max_tokens=200)
    assert reply.choice["message"]["function_call"]["name"] == "switch"


def function_call(ask: Asker) -> None:
    reply = ask(functions=[SWITCH], function_call={"name": "switch"}, max_tokens=200)
    assert reply.choice["finish_reason"] == "function_call"


def response_format(ask: Asker) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": TRUE_OR_FALSE, "strict": True}}
    assert ask(response_format=form).text.startswith('{"on":')


def prediction(ask: Asker) -> None:
    letters = {str(token): 100 for token in range(int(A), int(A) + 4)}  # text that has one encoding
    text = ask(logit_bias=letters).text
    reply = ask(logit_bias=letters, prediction={"type": "content", "content": text + "!"})
    assert reply.text == text
    details = reply.body["usage"]["completion_tokens_details"]
    assert details["accepted_prediction_tokens"] > 10
    assert details["rejected_prediction_tokens"] > 0


def chat_template_kwargs(ask: Asker) -> None:
    plain, greeted = ask(), ask(chat_template_kwargs={"greeting": "Good morning!"})
    added = greeted.body["usage"]["prompt_tokens"] - plain.body["usage"]["prompt_tokens"]
    assert added > 5
    assert ask(chat_template_kwargs={"farewell": "Bye."}).status == 400


def store(ask: Asker) -> None:
    assert ask(store=True).body["store"] is True


def metadata(ask: Asker) -> None:
    labelled = ask(store=True, metadata={"a": "b"}).body["id"]
    kept = httpx.get(f"{ask.url}/{labelled}").json()
    assert kept["metadata"] == {"a": "b"}


PROOFS: dict[str, Proof] = {
    "top_p": only_the_likeliest(top_p=0),
    "top_k": only_the_likeliest(top_k=1),
    "min_p": only_the_likeliest(min_p=1),
    "presence_penalty": penalty(presence_penalty=2),
    "frequency_penalty": penalty(frequency_penalty=2),
    "repetition_penalty": penalty(repetition_penalty=2),
    **{
        proof.__name__: proof
        for proof in (
            messages,
            model,
            max_completion_tokens,
            max_tokens,
            temperature,
            n,
            stop,
            seed,
            logit_bias,
            logprobs,
            top_logprobs,
            stop_token_ids,
            min_tokens,
            ignore_eos,
            stream,
            stream_options,
            tools,
            tool_choice,
            parallel_tool_calls,
            functions,
            function_call,
            response_format,
            prediction,
            chat_template_kwargs,
            usage,
            store,
            metadata,
        )
    },
}
HONOURED = [field.name for field in CHAT_FIELDS.honoured]


def test_every_honoured_field_has_a_proof() -> None:
    assert sorted(PROOFS) == sorted(HONOURED)


@pytest.mark.parametrize("name", HONOURED)
def test_a_field_does_what_it_says(server: LiveServer, name: str) -> None:
    PROOFS[name](asker(server))


@pytest.mark.parametrize("name", HONOURED)
def test_a_field_that_is_lost_is_missed(server: LiveServer, name: str) -> None:
    with pytest.raises((AssertionError, KeyError, TypeError)):
        PROOFS[name](asker(server, without=name))
