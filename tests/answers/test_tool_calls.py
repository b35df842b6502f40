"""Tool calls from a model's text to events, and the grammars an answer must follow."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.answer import Answerer
from pennyweight.answers.conversation import Conversation, Message, TextPart, Tool, ToolCall, ToolChoice
from pennyweight.answers.events import AnswerEvent, Finished, TextDelta, ToolCallDelta
from pennyweight.answers.grammars import EitherMask
from pennyweight.answers.options import JsonObject, JsonSchema, Options
from pennyweight.answers.principal import LOCAL
from pennyweight.core import FinishReason, TokenSpan
from pennyweight.errors import InvalidRequestError
from pennyweight.text.template import ChatTemplate
from tests.answers.scripted_engine import ScriptedEngine, byte_token, read_tokenizer
from tests.models.tiny_vocabulary import CHATML_TEMPLATE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pennyweight.text.tokenizer import Tokenizer

SCHEMA = {
    "type": "object",
    "properties": {"a": {"enum": [1, 2]}},
    "required": ["a"],
    "additionalProperties": False,
}
TOOLS = (
    Tool(name="f", parameters=SCHEMA, strict=True),
    Tool(name="g", kind="custom", syntax="regex", definition="[xy]{2}"),
)
HELLO = Message(role="user", parts=(TextPart("Hi"),))
CALL = b'<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'


@pytest.fixture(scope="module")
def tokenizer(tiny_llama_path: Path) -> Tokenizer:
    return read_tokenizer(tiny_llama_path)


@pytest.fixture(scope="module")
def answerer(tokenizer: Tokenizer) -> Answerer:
    return Answerer(
        engine=ScriptedEngine(),
        tokenizer=tokenizer,
        template=ChatTemplate(CHATML_TEMPLATE),
        model_name="tiny",
        model_hash="abc",
        context=4096,
    )


def ask(
    answerer: Answerer,
    conversation: Conversation,
    speak: Callable[[ScriptedEngine], None],
    options: Options | None = None,
) -> tuple[ScriptedEngine, list[AnswerEvent]]:
    """What comes of an answer that the engine speaks."""
    engine = ScriptedEngine()
    answerer._engine = engine

    async def collect() -> list[AnswerEvent]:
        events = answerer.answer(conversation, options or Options(), LOCAL)
        collected = [await anext(events)]
        speak(engine)
        return [*collected, *[event async for event in events]]

    return engine, asyncio.run(collect())


def spoken(data: bytes, reason: FinishReason = FinishReason.STOP) -> Callable[[ScriptedEngine], None]:
    def speak(engine: ScriptedEngine) -> None:
        engine.say(data, logprob=-0.5)
        engine.finish(reason)

    return speak


def prompt_text(engine: ScriptedEngine, tokenizer: Tokenizer) -> str:
    assert engine.request is not None
    (span,) = engine.request.prompt
    assert isinstance(span, TokenSpan)
    return tokenizer.decode(span.tokens)


def calls_of(events: list[AnswerEvent]) -> dict[int, str]:
    calls: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            calls[event.index] = calls.get(event.index, "") + event.arguments
    return calls


def test_a_call_is_told_from_text(answerer: Answerer, tokenizer: Tokenizer) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS)
    second = b'\n<tool_call>\n{"name": "g", "arguments": {"input": "xy"}}\n</tool_call>'
    engine, events = ask(answerer, conversation, spoken(b"Let me see.\n" + CALL + second))
    assert '"name": "f"' in prompt_text(engine, tokenizer)
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    assert text.strip() == "Let me see."
    assert calls_of(events) == {0: '{"a": 1}', 1: "xy"}
    heads = [event for event in events if isinstance(event, ToolCallDelta) and event.id]
    assert [(head.name, head.kind) for head in heads] == [("f", "function"), ("g", "custom")]
    assert len({head.id for head in heads}) == 2
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "tool_calls"
    details = [event.details for event in events if isinstance(event, TextDelta | ToolCallDelta)]
    assert sum(map(len, details)) == len(b"Let me see.\n" + CALL + second)


def test_a_call_cut_off_by_the_limit(answerer: Answerer) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS)
    _, events = ask(answerer, conversation, spoken(CALL[: CALL.index(b": 1")], FinishReason.LENGTH))
    assert calls_of(events) == {0: '{"a"'}
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"


@pytest.mark.parametrize("size", range(1, CALL.index(b"f") + 4))
def test_a_call_cut_off_before_its_arguments_is_no_text(answerer: Answerer, size: int) -> None:
    required = Conversation(messages=(HELLO,), tools=TOOLS, tool_choice=ToolChoice(mode="required"))
    _, events = ask(answerer, required, spoken(CALL[:size], FinishReason.LENGTH))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == ""
    assert isinstance(events[-1], Finished)
    assert events[-1].reason == "length"


def test_a_call_cut_off_behind_a_text(answerer: Answerer) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS)
    _, events = ask(answerer, conversation, spoken(b"Let me see." + CALL[:20], FinishReason.LENGTH))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Let me see."


@pytest.mark.parametrize("text", ["<table>", '<tool_call>{"name": "h', "a < b, a <"])
def test_a_text_cut_off_that_is_no_call_is_whole(answerer: Answerer, text: str) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS)
    _, events = ask(answerer, conversation, spoken(text.encode(), FinishReason.LENGTH))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == text


def test_without_leave_to_call_there_are_no_tools(answerer: Answerer, tokenizer: Tokenizer) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS, tool_choice=ToolChoice(mode="none"))
    engine, events = ask(answerer, conversation, spoken(CALL))
    assert '"f"' not in prompt_text(engine, tokenizer)
    assert engine.request is not None
    assert engine.request.mask_provider is None
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == CALL.decode()


def test_the_past_is_shown_to_the_model(answerer: Answerer, tokenizer: Tokenizer) -> None:
    call = ToolCall(id="call_1", name="f", arguments='{"a": 2}')
    messages = (
        HELLO,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", parts=(TextPart("sunny"),), tool_call_id="call_1"),
    )
    engine, _ = ask(answerer, Conversation(messages=messages), spoken(b"."))
    text = prompt_text(engine, tokenizer)
    assert '{"name": "f", "arguments": {"a": 2}}' in text
    assert "sunny" in text


def test_a_past_call_that_is_not_json(answerer: Answerer) -> None:
    call = ToolCall(id="call_1", name="f", arguments="f()")
    messages = (
        HELLO,
        Message(role="assistant", tool_calls=(call,)),
        Message(role="tool", tool_call_id="call_1"),
    )
    with pytest.raises(InvalidRequestError, match="call of 'f' are not JSON") as caught:
        ask(answerer, Conversation(messages=messages), spoken(b"."))
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"


def writes(answerer: Answerer, conversation: Conversation, options: Options, text: bytes) -> bool:
    """Whether the grammar lets the model write `text` and end there."""
    engine, _ = ask(answerer, conversation, spoken(b"."), options)
    assert engine.request is not None
    mask = engine.request.mask_provider
    assert mask is not None
    tokenizer = answerer.tokenizer
    for token in tokenizer.encode_continuation(text.decode()):
        if not mask.mask()[token // 8] >> token % 8 & 1:
            return False
        mask.accept(token)
    end = min(tokenizer.end_token_ids)
    return bool(mask.mask()[end // 8] >> end % 8 & 1)


@pytest.mark.parametrize(
    ("choice", "text", "allowed"),
    [
        (ToolChoice(), b"Hello.", True),
        (ToolChoice(), CALL, True),
        (ToolChoice(), CALL.replace(b"1", b"3"), False),
        (ToolChoice(mode="required"), b"Hello.", False),
        (ToolChoice(mode="required"), CALL, True),
        (ToolChoice(mode="required", names=frozenset({"g"})), CALL, False),
        (ToolChoice(mode="auto", names=frozenset({"f"})), CALL, True),
        (ToolChoice(mode="auto", names=frozenset({"f"})), CALL.replace(b'"f"', b'"g"'), False),
    ],
)
def test_what_the_choice_allows(answerer: Answerer, choice: ToolChoice, text: bytes, allowed: bool) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS, tool_choice=choice)
    assert writes(answerer, conversation, Options(), text) is allowed


@pytest.mark.parametrize("parallel", [True, False, None])
def test_one_call_at_a_time(answerer: Answerer, parallel: bool | None) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS, parallel_tool_calls=parallel)
    assert writes(answerer, conversation, Options(), CALL + b"\n" + CALL) is bool(parallel)
    named = ToolChoice(mode="required", names=frozenset({"f"}), once=True)
    once = Conversation(messages=(HELLO,), tools=TOOLS, tool_choice=named)
    assert not writes(answerer, once, Options(), CALL + b"\n" + CALL)


FORMATS: list[tuple[Any, bytes, bool]] = [
    (JsonObject(), b'{"b":[1,null]}', True),
    (JsonObject(), b"[1]", False),
    (JsonSchema(name="n", schema=SCHEMA), b'{"a":2}', True),
    (JsonSchema(name="n", schema=SCHEMA), b'{"a":3}', False),
    (JsonSchema(name="n", schema=SCHEMA, strict=True), b"Hello", False),
]


@pytest.mark.parametrize(("form", "text", "allowed"), FORMATS)
def test_what_a_format_allows(answerer: Answerer, form: Any, text: bytes, allowed: bool) -> None:
    options = Options(response_format=form)
    assert writes(answerer, Conversation(messages=(HELLO,)), options, text) is allowed


@pytest.mark.parametrize(("form", "text", "allowed"), [*FORMATS, (FORMATS[0][0], CALL, True)])
def test_a_format_beside_tools(answerer: Answerer, form: Any, text: bytes, allowed: bool) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS)
    assert writes(answerer, conversation, Options(response_format=form), text) is allowed


def test_a_schema_that_cannot_be_enforced_is_named(answerer: Answerer) -> None:
    form = JsonSchema(
        name="n", schema={"type": "string", "pattern": "(?=a)b"}, strict=True, param="response_format.x"
    )
    conversation = Conversation(messages=(HELLO,))
    with pytest.raises(InvalidRequestError, match="pattern") as caught:
        ask(answerer, conversation, spoken(b"."), Options(response_format=form))
    assert caught.value.param is not None
    assert caught.value.param.startswith("response_format.x")
    wish = Options(response_format=replace(form, strict=False))
    assert writes(answerer, conversation, wish, b'"any"')
    assert not writes(answerer, conversation, wish, b'{"any":1}'), "the rest of the schema holds"


def test_any_text_needs_no_grammar(answerer: Answerer) -> None:
    engine, _ = ask(answerer, Conversation(messages=(HELLO,)), spoken(b"."))
    assert engine.request is not None
    assert engine.request.mask_provider is None


def test_either_grammar_forks_and_forces(answerer: Answerer) -> None:
    conversation = Conversation(messages=(HELLO,), tools=TOOLS[:1])
    mask = answerer.grammars.mask(conversation, JsonObject(), project="default")
    assert isinstance(mask, EitherMask)
    assert list(mask.forced()) == []
    other = mask.fork()
    mask.accept(byte_token(ord("<")))
    assert answerer.tokenizer.decode(mask.forced()).startswith("tool_call>")
    assert other.mask() != mask.mask()
