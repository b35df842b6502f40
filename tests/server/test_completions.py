"""Plain completions through the official client and on the wire: every honoured field changes the answer."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.answers.answer import LONG_PROMPT_TOKENS, Answerer
from pennyweight.core import CacheNamespace, FinishedEvent, Request, SamplingParams, TokenSpan
from tests.server.live import eventually

if TYPE_CHECKING:
    from tests.server.live import LiveServer

PROMPT = "Once upon a time"
Z = 3 + ord("z")  # the tiny vocabulary has three control tokens, then one token for each byte


def ask(client: openai.OpenAI, server: LiveServer, **fields: Any) -> Any:
    defaults: dict[str, Any] = {"model": server.model, "prompt": PROMPT, "max_tokens": 12, "seed": 7}
    return client.completions.create(**{**defaults, **fields})


def text_of(client: openai.OpenAI, server: LiveServer, **fields: Any) -> str:
    text: str = ask(client, server, **fields).choices[0].text
    return text


def post(server: LiveServer, **fields: Any) -> httpx.Response:
    body = {"model": server.model, "prompt": PROMPT, "max_tokens": 12, "seed": 7, **fields}
    return httpx.post(f"{server.url}/v1/completions", json=body)


def ids_of(server: LiveServer, text: str) -> list[int]:
    return server.engine.answerer.tokenizer.encode(text)


def streamed(server: LiveServer, **fields: Any) -> list[dict[str, Any]]:
    """The chunks; the client's strict types know no `finish_reason: null`, which OpenAI sends."""
    events = post(server, stream=True, **fields).text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


def test_a_completion(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server)
    assert answer.object == "text_completion"
    assert answer.id.startswith("cmpl-")
    assert answer.model == server.model
    assert answer.system_fingerprint.startswith("fp_")
    (choice,) = answer.choices
    assert (choice.index, choice.finish_reason, choice.logprobs) == (0, "length", None)
    assert choice.text
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (len(ids_of(server, PROMPT)), 12)
    assert text_of(client, server) == choice.text


def test_the_prompt_goes_to_the_model_without_a_template(client: openai.OpenAI, server: LiveServer) -> None:
    assert text_of(client, server) == server.engine.generate(PROMPT, max_tokens=12, seed=7).text


def test_sixteen_tokens_unless_told(server: LiveServer) -> None:
    assert post(server, max_tokens=None).json()["usage"]["completion_tokens"] == 16


def test_prompts_in_four_forms(client: openai.OpenAI, server: LiveServer) -> None:
    alone = text_of(client, server, temperature=0)
    other = text_of(client, server, prompt="Another", temperature=0)
    ids, other_ids = ids_of(server, PROMPT), ids_of(server, "Another")
    assert text_of(client, server, prompt=ids, temperature=0) == alone
    for prompt in ([PROMPT, "Another"], [ids, other_ids]):
        answer = ask(client, server, prompt=prompt, temperature=0)
        assert [choice.text for choice in answer.choices] == [alone, other]
        assert answer.usage.prompt_tokens == len(ids) + len(other_ids)
        assert answer.usage.completion_tokens == 24


def test_several_choices_of_several_prompts(client: openai.OpenAI, server: LiveServer) -> None:
    answer = ask(client, server, prompt=[PROMPT, "Another"], n=2)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    assert len({choice.text for choice in answer.choices}) == 4
    alone = ask(client, server, n=2).choices
    assert [choice.text for choice in answer.choices[:2]] == [choice.text for choice in alone]


def test_more_prompts_than_run_at_once(client: openai.OpenAI, server: LiveServer) -> None:
    prompts = [f"Number {i}" for i in range(70)]
    answer = ask(client, server, prompt=prompts, temperature=0, max_tokens=2)
    assert [choice.index for choice in answer.choices] == list(range(70))
    for index in (0, 33, 69):
        alone = text_of(client, server, prompt=prompts[index], temperature=0, max_tokens=2)
        assert answer.choices[index].text == alone


def test_control_tokens_come_as_ids_only(client: openai.OpenAI, server: LiveServer) -> None:
    special = server.engine.answerer.tokenizer.special_tokens
    name, control = next(iter(special.items()))
    as_text = ask(client, server, prompt=name, echo=True, max_tokens=1)
    as_id = ask(client, server, prompt=[control], echo=True, max_tokens=1)
    assert as_text.usage.prompt_tokens == len(ids_of(server, name)) > 1
    assert as_id.usage.prompt_tokens == 1
    assert as_id.choices[0].text.startswith(name)


def test_a_stream_says_what_the_whole_answer_says(client: openai.OpenAI, server: LiveServer) -> None:
    for fields in ({}, {"n": 2, "prompt": [PROMPT, "Another"]}, {"echo": True}):
        whole = ask(client, server, max_tokens=40, **fields)
        chunks = streamed(server, max_tokens=40, **fields)
        texts = [""] * len(whole.choices)
        for chunk in chunks:
            (choice,) = chunk["choices"]
            texts[choice["index"]] += choice["text"]
        assert texts == [choice.text for choice in whole.choices]
        reasons = [c["choices"][0]["finish_reason"] for c in chunks]
        assert [reason for reason in reasons if reason] == ["length"] * len(texts)
        assert len({chunk["id"] for chunk in chunks}) == 1
        assert all("usage" not in chunk for chunk in chunks)


def test_a_stream_through_the_client(server: LiveServer) -> None:
    # Loose: its types say that `finish_reason` is never null.
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0) as client:
        whole = text_of(client, server)
        stream = ask(client, server, stream=True, stream_options={"include_usage": True})
        chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == 12


def test_stop_strings_end_the_text_before_them(client: openai.OpenAI, server: LiveServer) -> None:
    text = text_of(client, server, max_tokens=40)
    stop = text[10:13]
    answer = ask(client, server, max_tokens=40, stop=stop)
    assert answer.choices[0].text == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_sampling_fields_reach_the_sampler(client: openai.OpenAI, server: LiveServer) -> None:
    greedy = text_of(client, server, temperature=0)
    assert greedy == text_of(client, server, temperature=0, seed=8)
    assert text_of(client, server) != text_of(client, server, seed=8)
    assert text_of(client, server, top_p=1e-6) == greedy
    assert text_of(client, server, extra_body={"top_k": 1}) == greedy
    assert text_of(client, server, extra_body={"min_p": 1}) == greedy
    z = {str(Z): 100}
    assert text_of(client, server, logit_bias=z) == "z" * 12
    assert text_of(client, server, logit_bias=z, extra_body={"stop_token_ids": [Z]}) == ""
    least = {"stop_token_ids": [Z], "min_tokens": 3}
    assert len(text_of(client, server, logit_bias=z, temperature=0, extra_body=least).encode()) >= 3
    for field in ("presence_penalty", "frequency_penalty"):
        assert text_of(client, server, logit_bias=z, **{field: 2}) == "z" * 12
        mild = {str(Z): 12}
        plain = text_of(client, server, logit_bias=mild, temperature=0, max_tokens=40)
        assert text_of(client, server, logit_bias=mild, temperature=0, max_tokens=40, **{field: 2}) != plain
    assert text_of(client, server, temperature=0, extra_body={"repetition_penalty": 5}) != greedy


def test_ignore_eos_writes_on(client: openai.OpenAI, server: LiveServer) -> None:
    end = min(server.engine.answerer.tokenizer.end_token_ids)
    fields: dict[str, Any] = {"logit_bias": {str(end): 100}, "max_tokens": 4}
    ended = ask(client, server, **fields)
    assert (ended.choices[0].text, ended.choices[0].finish_reason) == ("", "stop")
    assert ended.usage.completion_tokens == 1
    ran_on = ask(client, server, **fields, extra_body={"ignore_eos": True})
    assert (ran_on.choices[0].finish_reason, ran_on.usage.completion_tokens) == ("length", 4)


def test_scores_are_the_engines(server: LiveServer) -> None:
    """What the engine says of the same tokens when asked directly, without any answer in between."""
    fields = {"echo": True, "logprobs": 3, "max_tokens": 1, "temperature": 0}
    (choice,) = post(server, **fields).json()["choices"]
    scores = choice["logprobs"]
    tokens = tuple(ids_of(server, PROMPT))
    heard: list[FinishedEvent] = []
    server.engine._loop.submit(
        Request(
            id="direct",
            prompt=(TokenSpan(tokens),),
            sampling=SamplingParams(temperature=0, max_tokens=1, top_logprobs=3),
            namespace=CacheNamespace(model="direct"),
            prompt_logprobs=True,
        ),
        lambda event: heard.append(event) if isinstance(event, FinishedEvent) else None,
    )
    eventually(lambda: bool(heard))
    (finished,) = heard
    assert finished.prompt_logprobs is not None
    assert scores["token_logprobs"][: len(tokens)] == list(finished.prompt_logprobs)
    assert "".join(scores["tokens"][: len(tokens)]) == PROMPT
    starts = [sum(map(len, scores["tokens"][:i])) for i in range(len(tokens) + 1)]
    assert scores["text_offset"] == starts
    assert scores["token_logprobs"][0] is None
    assert scores["top_logprobs"][0] is None
    for value, top in zip(scores["token_logprobs"][1:], scores["top_logprobs"][1:], strict=True):
        assert value in top.values()
        assert value <= max(top.values())
        assert 3 <= len(top) <= 4


def test_scores_do_not_depend_on_how_they_are_asked(server: LiveServer) -> None:
    prompts = [PROMPT, "Another beginning", "x"]
    together = post(server, prompt=prompts, echo=True, logprobs=1, max_tokens=0).json()
    assert together["usage"]["completion_tokens"] == 0
    for prompt, choice in zip(prompts, together["choices"], strict=True):
        assert choice["text"] == prompt
        assert choice["finish_reason"] == "length"
        alone = post(server, prompt=prompt, echo=True, logprobs=1, max_tokens=0).json()["choices"][0]
        assert alone["logprobs"] == choice["logprobs"]
        assert len(choice["logprobs"]["tokens"]) == len(ids_of(server, prompt))
    chunks = streamed(server, prompt=PROMPT, echo=True, logprobs=1, max_tokens=3)
    whole = post(server, prompt=PROMPT, echo=True, logprobs=1, max_tokens=3).json()["choices"][0]
    for name, values in whole["logprobs"].items():
        assert [value for chunk in chunks for value in chunk["choices"][0]["logprobs"][name]] == values


def test_a_long_prompt_is_scored_beside_the_event_loop(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    scored = Answerer._prompt_tokens

    def noted(*arguments: Any) -> Any:
        threads.add(threading.current_thread().name)
        return scored(*arguments)

    monkeypatch.setattr(Answerer, "_prompt_tokens", noted)
    prompt = "".join(chr(97 + number % 26) for number in range(2 * LONG_PROMPT_TOKENS))
    (choice,) = post(server, prompt=prompt, echo=True, logprobs=1, max_tokens=0).json()["choices"]
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"] == prompt
    assert len(ids_of(server, prompt)) >= LONG_PROMPT_TOKENS
    assert all(name.startswith("asyncio") for name in threads)
    assert threads


def test_generated_scores(client: openai.OpenAI, server: LiveServer) -> None:
    (choice,) = ask(client, server, logprobs=2, temperature=0).choices
    scores = choice.logprobs
    assert len(scores.tokens) == len(scores.token_logprobs) == len(scores.text_offset) == 12
    assert scores.text_offset[0] == 0
    for value, top in zip(scores.token_logprobs, scores.top_logprobs, strict=True):
        assert value == max(top.values())  # greedy
        assert len(top) == 2


def test_an_end_token_has_a_score_and_no_text(server: LiveServer) -> None:
    tokenizer = server.engine.answerer.tokenizer
    end = min(tokenizer.end_token_ids)
    fields = {"logit_bias": {str(end): 100}, "max_tokens": 1, "echo": True, "logprobs": 1}
    (choice,) = post(server, **fields).json()["choices"]
    assert choice["text"] == PROMPT
    assert choice["finish_reason"] == "stop"
    assert len(choice["logprobs"]["tokens"]) == len(ids_of(server, PROMPT)) + 1
    assert choice["logprobs"]["tokens"][-1] == tokenizer.token_bytes(end).decode()
    assert choice["logprobs"]["text_offset"][-1] == len(PROMPT)


def test_a_cached_prompt_is_counted(client: openai.OpenAI, server: LiveServer) -> None:
    prompt = "y" * 200
    ask(client, server, prompt=prompt)
    assert ask(client, server, prompt=prompt).usage.prompt_tokens_details.cached_tokens >= 192


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"suffix": "x"}, "suffix"),
        ({"best_of": 2}, "best_of"),
        ({"prompt": [1, 10**6]}, "prompt"),
        ({"prompt": [[1], [10**6]]}, "prompt[1]"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"prompt": "x" * 40_000}, "prompt"),
        ({"prompt": ["a", "x" * 32_768]}, "prompt[1]"),
        ({"logprobs": 21}, "logprobs"),
        ({"nonsense": 1}, "nonsense"),
        ({"model": "nobody"}, "model"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_named_before_a_stream(
    server: LiveServer, fields: dict[str, Any], param: str, stream: bool
) -> None:
    reply = post(server, stream=stream, **fields)
    assert reply.status_code == (404 if param == "model" else 400)
    assert reply.json()["error"]["param"] == param


def test_ids_of_another_vocabulary_are_not_ours(server: LiveServer) -> None:
    reply = post(server, model="gpt-4o-mini", prompt=[1, 2, 3])
    assert reply.status_code == 400
    assert "o200k_base" in reply.json()["error"]["message"]
    assert post(server, model="gpt-4o-mini").json()["model"] == server.model
