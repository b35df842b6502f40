"""`penny record` in front of a service: traffic passes, and is kept in the operator's words or not at all."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import openai
import pytest

from tests.server.second import second_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.api import Engine

REDACTION = """
def redact(exchange):
    request = exchange["request"]
    text = str(request)
    request.pop("previous_response_id", None)
    if "metadata" in request:
        request["metadata"] = {"who": "NAME"} if "Ann" in str(request["metadata"]) else "anything"
    if "private" in text:
        return None
    if "broken" in text:
        raise RuntimeError("a defect of the rules")
    for message in request.get("messages") or ():
        message["content"] = message["content"].replace("Ann", "NAME")
    if isinstance(request.get("input"), str):
        request["input"] = request["input"].replace("Ann", "NAME")
    for choice in exchange["response"].get("choices", ()):
        choice["message"]["content"] = "redacted"
    return exchange
"""


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory, engine: Engine) -> Iterator[openai.OpenAI]:
    home = tmp_path_factory.mktemp("recorder")
    (home / "house_rules.py").write_text(REDACTION, encoding="utf-8")
    model = ("--model", str(engine.model.path), "--parallel", "2", "--threads", "1")
    with second_server(tmp_path_factory.mktemp("far"), *model) as far:
        arguments = ("--consent", "--upstream", f"mini={far}/v1#tiny-long", "--redact", "house_rules:redact")
        with second_server(home, *arguments, verb="record") as url:
            yield openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)


def ask(client: openai.OpenAI, text: str, **fields: Any) -> str:
    """The id of an answer to `text`."""
    asked: Any = [{"role": "user", "content": text}]
    answer = client.chat.completions.create(model="mini", messages=asked, max_tokens=4, **fields)
    assert answer.choices[0].message.content != "redacted"
    answered: str = answer.id
    return answered


def test_a_chat_is_kept_without_being_asked_to_and_redacted(recorder: openai.OpenAI) -> None:
    own_id = ask(recorder, "Hi, I am Ann")
    assert recorder.chat.completions.retrieve(own_id).choices[0].message.content == "redacted"
    (message,) = recorder.chat.completions.messages.list(own_id)
    assert message.content == "Hi, I am NAME"


def test_a_stream_is_kept_likewise(recorder: openai.OpenAI) -> None:
    asked: Any = [{"role": "user", "content": "Ann streams"}]
    stream = recorder.chat.completions.create(model="mini", messages=asked, max_tokens=4, stream=True)
    (own_id,) = {chunk.id for chunk in stream}
    (message,) = recorder.chat.completions.messages.list(own_id)
    assert message.content == "NAME streams"


@pytest.mark.parametrize(
    ("text", "fields"),
    [("this is private", {}), ("this is broken", {}), ("keep it not", {"store": False})],
    ids=["refused by the rules", "failed rules", "not to be stored"],
)
def test_what_may_not_be_kept_is_answered_and_gone(
    recorder: openai.OpenAI, text: str, fields: dict[str, Any]
) -> None:
    own_id = ask(recorder, text, **fields)
    with pytest.raises(openai.NotFoundError):
        recorder.chat.completions.retrieve(own_id)


def test_a_response_is_kept_in_the_redacted_words(recorder: openai.OpenAI) -> None:
    answer = recorder.responses.create(model="mini", input="Ann again", max_output_tokens=16)
    (item,) = recorder.responses.input_items.list(answer.id)
    assert item.content[0].text == "NAME again"  # type: ignore[union-attr]
    with pytest.raises(openai.BadRequestError, match="redacted before it is stored"):
        recorder.responses.create(model="mini", input="Hi", background=True)


def test_metadata_is_kept_redacted(recorder: openai.OpenAI) -> None:
    own_id = ask(recorder, "Hi", metadata={"who": "Ann"})
    assert recorder.chat.completions.retrieve(own_id).metadata == {"who": "NAME"}
    own_id = ask(recorder, "Hi", metadata={"who": "Bob"})
    assert recorder.chat.completions.retrieve(own_id).metadata == {}, "what is no metadata is not kept"


def test_an_answer_is_not_kept_unredacted_for_its_idempotency_key(recorder: openai.OpenAI) -> None:
    asked: Any = {"model": "mini", "extra_headers": {"Idempotency-Key": "once"}}
    for answer in (
        lambda: recorder.responses.create(**asked, input="Hi", max_output_tokens=16),
        lambda: recorder.chat.completions.create(
            **{**asked, "extra_headers": {"Idempotency-Key": "twice"}},
            messages=[{"role": "user", "content": "Hi"}],
            max_tokens=4,
        ),
    ):
        answer()
        with pytest.raises(openai.BadRequestError, match="must not be kept unredacted"):
            answer()


def test_what_a_response_continues_is_known_though_redacted_away(recorder: openai.OpenAI) -> None:
    asked: Any = {"model": "mini", "max_output_tokens": 16}
    first = recorder.responses.create(**asked, input="One")
    second = recorder.responses.create(**asked, input="Two", previous_response_id=first.id)
    recorder.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError, match="was deleted"):
        recorder.responses.create(**asked, input="Three", previous_response_id=second.id)


def refused(*arguments: str) -> str:
    """What `penny record` says to wrong usage."""
    command = [sys.executable, "-m", "pennyweight", "record", "--port", "0", *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    return ended.stderr


def test_it_asks_for_consent() -> None:
    assert "give --consent" in refused("--upstream", "mini=http://127.0.0.1:9/v1#x")


def test_a_redaction_that_is_not_there_is_told_at_the_start(tmp_path: Path) -> None:
    where = ("--consent", "--data", str(tmp_path), "--upstream", "mini=http://127.0.0.1:9/v1#x")
    assert "no_such_rules" in refused(*where, "--redact", "no_such_rules:redact")
