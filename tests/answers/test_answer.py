"""Tokens become answer events: held back where undecided, cancelled where nobody needs more."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.answer import Answerer
from pennyweight.answers.chat_response import ChatChunks, ChatIdentity, ChatShape
from pennyweight.answers.conversation import Completion
from pennyweight.answers.events import Accepted, Finished, TextDelta, TokenDetail, total_usage
from pennyweight.answers.options import Options
from pennyweight.answers.principal import LOCAL, Principal
from pennyweight.answers.sampling_fields import options_from_keywords
from pennyweight.core import (
    CacheNamespace,
    FinishedEvent,
    FinishReason,
    PromptProgress,
    Timings,
    TokenEvent,
    TokenLogprob,
    TokenSpan,
    Usage,
)
from pennyweight.errors import EngineError, InvalidRequestError
from tests.answers.scripted_engine import ScriptedEngine, byte_token, read_tokenizer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from pennyweight.answers.events import AnswerEvent
    from pennyweight.core import Priority
    from pennyweight.text.tokenizer import Tokenizer

PROMPT = Completion(prompt="Hi")


@pytest.fixture(scope="module")
def tokenizer(tiny_llama_path: Path) -> Tokenizer:
    return read_tokenizer(tiny_llama_path)


class Asked:
    """One answer in the making: the engine to speak for, and the events to read."""

    def __init__(
        self, tokenizer: Tokenizer, keywords: dict[str, Any], *, priority: Priority = "interactive"
    ) -> None:
        self.engine = ScriptedEngine()
        self.answerer = Answerer(
            engine=self.engine,
            tokenizer=tokenizer,
            template=None,
            model_name="tiny",
            model_hash="abc",
            context=4096,
        )
        options = replace(options_from_keywords(keywords), priority=priority)
        self.events: AsyncGenerator[AnswerEvent] = self.answerer.answer(PROMPT, options, LOCAL)

    async def accepted(self) -> ScriptedEngine:
        assert isinstance(await anext(self.events), Accepted)
        return self.engine

    async def text(self) -> str:
        """What can be shown of what was said so far: a mark is said after it and read up to."""
        event = await anext(self.events)
        assert isinstance(event, TextDelta)
        return event.text

    async def rest(self) -> tuple[str, list[Finished]]:
        collected = [event async for event in self.events]
        text = "".join(event.text for event in collected if isinstance(event, TextDelta))
        return text, [event for event in collected if isinstance(event, Finished)]


@pytest.fixture
def ask(tokenizer: Tokenizer) -> Callable[..., Asked]:
    return lambda **keywords: Asked(tokenizer, keywords)


def test_progress_of_a_long_prompt_passes_through(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask()
        engine = await asked.accepted()
        engine.post(PromptProgress(0, 64, 150))
        engine.say(b"a")
        engine.finish()
        events = [event async for event in asked.events]
        assert events[0] == PromptProgress(0, 64, 150)
        chunks = ChatChunks(ChatIdentity(model="m", fingerprint="f"), ChatShape(include_usage=True))
        assert list(chunks.of(events[0])) == [], "nothing of it is on the wire"

    asyncio.run(scenario())


def test_the_request_carries_what_was_asked(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask(temperature=0.5, n=2)
        engine = await asked.accepted()
        assert engine.request is not None
        assert engine.request.sampling.temperature == 0.5
        assert engine.request.num_choices == 2
        assert engine.request.prompt == (TokenSpan((byte_token(ord("H")), byte_token(ord("i")))),)
        assert engine.request.namespace == CacheNamespace(model="abc", project="default")
        await asked.events.aclose()

    asyncio.run(scenario())


def test_projects_and_formats_do_not_share_prefixes(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        engine = ScriptedEngine()
        answerer = Answerer(
            engine=engine,
            tokenizer=tokenizer,
            template=None,
            model_name="tiny",
            model_hash="abc",
            context=4096,
            kv_format="int4",
        )
        principal = Principal(key="key", project="other")
        async with aclosing(answerer.answer(PROMPT, options_from_keywords({}), principal)) as events:
            await anext(events)
        assert engine.request is not None
        assert engine.request.namespace == CacheNamespace(model="abc", kv_format="int4", project="other")

    asyncio.run(scenario())


def test_text_comes_as_it_is_said(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask()
        engine = await asked.accepted()
        engine.say(b"Par")
        assert await asked.text() == "Par"
        engine.say(b"is")
        engine.finish()
        text, finished = await asked.rest()
        assert text == "is"
        assert [event.reason for event in finished] == ["stop"]
        assert finished[0].usage.completion_tokens == 6
        assert engine.cancelled == []

    asyncio.run(scenario())


def test_a_split_character_is_held_back(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask()
        engine = await asked.accepted()
        euro = "€".encode()
        engine.say(b"5" + euro[:2])
        assert await asked.text() == "5"
        engine.say(euro[2:])
        assert await asked.text() == "€"
        engine.say(euro[:1])
        engine.finish(FinishReason.LENGTH)
        text, finished = await asked.rest()
        assert text == "\N{REPLACEMENT CHARACTER}"
        assert finished[0].reason == "length"

    asyncio.run(scenario())


def test_a_stop_string_across_tokens_ends_the_choice_and_cancels_it(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask(stop=["END", "never"])
        engine = await asked.accepted()
        engine.say(b"one E")
        assert await asked.text() == "one "
        engine.say(b"xtra EN")
        assert await asked.text() == "Extra "
        engine.say(b"D and more")
        await asyncio.sleep(0)
        reading = asyncio.ensure_future(asked.rest())
        while not engine.cancelled:
            await asyncio.sleep(0)
        engine.say(b"and still more")
        engine.finish(FinishReason.CANCELLED, accepted=27)
        text, finished = await reading
        assert text == ""
        assert finished[0].reason == "stop"
        usage = finished[0].usage
        assert usage.completion_tokens == usage.accepted_prediction_tokens == len(b"one Extra END")
        assert engine.cancelled == [0]

    asyncio.run(scenario())


def test_the_beginning_of_a_stop_string_is_text_if_nothing_follows(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask(stop="END")
        engine = await asked.accepted()
        engine.say(b"the EN")
        engine.finish()
        text, finished = await asked.rest()
        assert text == "the EN"
        assert finished[0].reason == "stop"

    asyncio.run(scenario())


def test_a_line_of_a_batch_is_read_whole(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        asked = Asked(tokenizer, {"n": 2}, priority="batch")
        engine = await asked.accepted()
        reading = asyncio.ensure_future(anext(asked.events))
        engine.say(b"Par")
        engine.say(b"Rom", choice=1)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not reading.done()
        engine.say(b"e", choice=1)
        engine.finish(choice=1)
        assert await reading == TextDelta(1, "Rome")
        engine.say(b"is")
        engine.finish()
        text, finished = await asked.rest()
        assert text == "Paris"
        assert [event.choice for event in finished] == [1, 0]

    asyncio.run(scenario())


def test_a_stop_string_ends_a_line_of_a_batch_at_once(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        asked = Asked(tokenizer, {"stop": "END"}, priority="batch")
        engine = await asked.accepted()
        reading = asyncio.ensure_future(asked.rest())
        engine.say(b"one END and more")
        while not engine.cancelled:
            await asyncio.sleep(0)
        engine.finish(FinishReason.CANCELLED)
        text, finished = await reading
        assert text == "one "
        assert finished[0].usage.completion_tokens == len(b"one END")

    asyncio.run(scenario())


def test_choices_end_one_by_one(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask(n=3, stop="x")
        engine = await asked.accepted()
        engine.say(b"ax", choice=0)
        engine.say(b"b", choice=1)
        engine.finish(choice=1)
        engine.finish(FinishReason.CANCELLED, choice=0)
        engine.say(b"cc", choice=2)
        engine.finish(FinishReason.LENGTH, choice=2)
        collected = [event async for event in asked.events]
        finished = [event for event in collected if isinstance(event, Finished)]
        texts = ["", "", ""]
        for event in collected:
            if isinstance(event, TextDelta):
                texts[event.choice] += event.text
        assert texts == ["a", "b", "cc"]
        assert {event.choice: event.reason for event in finished} == {0: "stop", 1: "stop", 2: "length"}
        usage = total_usage(finished)
        assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (2, 2 + 2 + 2, 1)

    asyncio.run(scenario())


def test_log_probabilities_come_with_the_text_they_belong_to(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask(stop="END", logprobs=True, top_logprobs=2)
        engine = await asked.accepted()
        engine.say("aé".encode(), logprob=-0.5)
        event = await anext(asked.events)
        assert isinstance(event, TextDelta)
        assert event.text == "aé"
        assert [detail.text_bytes for detail in event.details] == [b"a", b"\xc3", b"\xa9"]
        assert [detail.logprob for detail in event.details] == [-0.5] * 3
        assert [top.text_bytes for top in event.details[0].top] == [b"a", b"<|endoftext|>"]
        engine.say(b"bEN", logprob=-1.0)
        event = await anext(asked.events)
        assert isinstance(event, TextDelta)
        assert (event.text, [detail.text_bytes for detail in event.details]) == ("b", [b"b"])
        engine.say(b"D", logprob=-1.0)
        engine.finish(FinishReason.CANCELLED)
        rest = [event async for event in asked.events]
        assert all(isinstance(event, Finished) for event in rest)

    asyncio.run(scenario())


def test_an_error_of_the_engine_is_raised_and_the_rest_cancelled(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask(n=2)
        engine = await asked.accepted()
        engine.finish(FinishReason.ERROR, choice=1, error="no more memory")
        with pytest.raises(EngineError, match="no more memory"):
            await asked.rest()
        assert engine.cancelled == [None]

    asyncio.run(scenario())


def test_an_end_nobody_asked_for_is_an_error(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask()
        engine = await asked.accepted()
        engine.finish(FinishReason.CANCELLED)
        with pytest.raises(EngineError, match="before it was complete"):
            await asked.rest()

    asyncio.run(scenario())


def test_closing_the_iterator_cancels_at_once(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask()
        engine = await asked.accepted()
        engine.say(b"a")
        await asked.text()
        await asked.events.aclose()
        assert engine.cancelled == [None]

    asyncio.run(scenario())


def test_cancelling_the_reading_task_cancels_at_once(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask()
        engine = await asked.accepted()
        reading = asyncio.ensure_future(asked.rest())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert engine.cancelled == [None]

    asyncio.run(scenario())


def test_a_finished_answer_cancels_nothing(ask: Callable[..., Asked]) -> None:
    async def scenario() -> None:
        asked = ask()
        engine = await asked.accepted()
        engine.finish()
        await asked.rest()
        assert engine.cancelled == []

    asyncio.run(scenario())


def test_a_prompt_of_nothing_is_refused(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        engine = ScriptedEngine()
        answerer = Answerer(
            engine=engine,
            tokenizer=tokenizer,
            template=None,
            model_name="tiny",
            model_hash="abc",
            context=4096,
        )
        events = answerer.answer(Completion(prompt=""), options_from_keywords({}), LOCAL)
        with pytest.raises(InvalidRequestError, match="empty"):
            await anext(events)
        assert engine.request is None

    asyncio.run(scenario())


def test_token_ids_are_a_prompt_as_they_stand(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        asked = Asked(tokenizer, {})
        engine = await asked.accepted()
        await asked.events.aclose()
        answerer = asked.answerer
        options = Options(prediction="Hi", prompt_logprobs=True)
        async with aclosing(answerer.answer(Completion(prompt=(7, 8)), options, LOCAL)) as events:
            await anext(events)
            assert engine.request is not None
            assert engine.request.prompt == (TokenSpan((7, 8)),)
            assert engine.request.draft == (byte_token(ord("H")), byte_token(ord("i")))
            engine.post(
                FinishedEvent(
                    choice=0,
                    reason=FinishReason.STOP,
                    usage=Usage(prompt_tokens=2),
                    timings=Timings(),
                    prompt_logprobs=(None, -1.5),
                    prompt_top=((), (TokenLogprob(9, -0.5),)),
                    end=TokenEvent(0, 2, -0.25, (TokenLogprob(2, -0.25),)),
                )
            )
            finished = await anext(events)
        assert isinstance(finished, Finished)
        assert finished.prompt is not None
        assert [(token.text_bytes, token.logprob) for token in finished.prompt] == [
            (tokenizer.token_bytes(7), None),
            (tokenizer.token_bytes(8), -1.5),
        ]
        assert finished.prompt[1].top == (TokenDetail(tokenizer.token_bytes(9), -0.5),)
        end = tokenizer.token_bytes(2)
        assert finished.end == TokenDetail(end, -0.25, (TokenDetail(end, -0.25),))

    asyncio.run(scenario())
