"""Every answer is admitted once and settled once, whatever ends it; grammars are kept apart by project."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.account import Account, Demand
from pennyweight.answers.answer import Answerer
from pennyweight.answers.bill import FlatBill
from pennyweight.answers.conversation import Completion
from pennyweight.answers.events import Accepted, TextDelta
from pennyweight.answers.grammars import Grammars
from pennyweight.answers.options import JsonObject
from pennyweight.answers.principal import LOCAL
from pennyweight.answers.sampling_fields import options_from_keywords
from pennyweight.core import FinishReason, Timings, Usage
from pennyweight.errors import EngineError, InsufficientQuotaError, OverloadedError
from pennyweight.text.tools.generic import GENERIC
from tests.answers.scripted_engine import ScriptedEngine, read_tokenizer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from pennyweight.answers.account import Ending
    from pennyweight.answers.events import AnswerEvent
    from pennyweight.core import Event, Request
    from pennyweight.text.tokenizer import Tokenizer

PROMPT = Completion(prompt=(5, 6, 7))


@dataclass(slots=True)
class Ledger(Account):
    """Writes everything down."""

    refuses: bool = False
    admitted: list[Demand] = field(default_factory=list)
    settled: list[tuple[Demand, Usage, Ending]] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    timings: list[Timings] = field(default_factory=list)

    async def admit(self, demand: Demand) -> None:
        if self.refuses:
            raise InsufficientQuotaError("no money")
        self.admitted.append(demand)

    def settle(self, demand: Demand, usage: Usage, timings: Timings, ending: Ending) -> None:
        self.cpu_s.append(timings.cpu_s)
        self.timings.append(timings)
        self.settled.append((demand, usage, ending))


class FullEngine(ScriptedEngine):
    def submit(self, request: Request, listener: Callable[[Event], None]) -> ScriptedEngine:  # noqa: ARG002
        raise OverloadedError("full")


@pytest.fixture(scope="module")
def tokenizer(tiny_llama_path: Path) -> Tokenizer:
    return read_tokenizer(tiny_llama_path)


def asked(
    tokenizer: Tokenizer, engine: ScriptedEngine, ledger: Ledger, **keywords: Any
) -> AsyncGenerator[AnswerEvent]:
    answerer = Answerer(
        engine=engine, tokenizer=tokenizer, template=None, model_name="tiny", model_hash="abc", context=100
    )
    return answerer.answer(PROMPT, options_from_keywords(keywords), LOCAL, ledger)


def test_a_finished_answer_of_several_choices(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        engine, ledger = ScriptedEngine(), Ledger()
        events = asked(tokenizer, engine, ledger, n=2, max_tokens=10)
        assert isinstance(await anext(events), Accepted)
        assert ledger.admitted == [Demand(prompt_tokens=3, wanted_tokens=20, most_tokens=20)]
        for choice, said in enumerate((b"abc", b"d")):
            engine.say(said, choice=choice)
            engine.finish(FinishReason.LENGTH, choice=choice)
        assert ledger.settled == []
        async for _ in events:
            pass
        [(demand, usage, ending)] = ledger.settled
        assert demand is ledger.admitted[0]
        assert usage == Usage(prompt_tokens=3, completion_tokens=4, cached_tokens=1)
        assert ending == "finished"
        assert ledger.cpu_s == [ScriptedEngine.cpu_s]

    asyncio.run(scenario())


def test_without_a_limit_the_context_is_the_most(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        ledger = Ledger()
        events = asked(tokenizer, ScriptedEngine(), ledger)
        await anext(events)
        assert ledger.admitted == [Demand(prompt_tokens=3, wanted_tokens=None, most_tokens=97)]
        await events.aclose()

    asyncio.run(scenario())


def test_a_client_that_leaves_pays_for_what_was_computed(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        engine, ledger = ScriptedEngine(), Ledger()
        events = asked(tokenizer, engine, ledger, n=2)
        await anext(events)
        engine.say(b"abc", choice=0)
        engine.finish(choice=0)
        engine.say(b"de", choice=1)
        async for event in events:
            if isinstance(event, TextDelta) and event.choice == 1:
                break
        await events.aclose()
        [(_, usage, ending)] = ledger.settled
        assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (3, 4 + 2, 1)
        assert ending == "left"
        assert ledger.cpu_s == [ScriptedEngine.cpu_s]

    asyncio.run(scenario())


@pytest.mark.parametrize("way", ["close", "cancel"])
def test_a_client_that_leaves_the_queue_pays_nothing(tokenizer: Tokenizer, way: str) -> None:
    async def scenario() -> None:
        ledger = Ledger()
        events = asked(tokenizer, ScriptedEngine(), ledger)
        await anext(events)
        if way == "close":
            await events.aclose()
        else:
            reading = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        assert [(usage, ending) for _, usage, ending in ledger.settled] == [(Usage(), "left")]

    asyncio.run(scenario())


def test_a_client_that_leaves_pays_for_the_part_of_its_prompt_that_was_computed(tokenizer: Tokenizer) -> None:
    """What was found in the cache has its own price."""

    async def scenario() -> None:
        engine, ledger = ScriptedEngine(), Ledger()
        engine.timings = Timings(queue_s=0.5, ttft_s=1.0)
        events = asked(tokenizer, engine, ledger)
        await anext(events)
        engine.prompt_usage = Usage(prompt_tokens=2, cached_tokens=1)
        await events.aclose()
        assert ledger.settled[0][1:] == (Usage(prompt_tokens=2, cached_tokens=1), "left")
        assert ledger.timings == [Timings(queue_s=0.5, ttft_s=1.0, cpu_s=ScriptedEngine.cpu_s)]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("computed", "error", "paid", "how"),
    [
        (0, None, 10, "finished"),
        (0, asyncio.CancelledError, 0, "left"),
        (4, asyncio.CancelledError, 4, "left"),
        (12, asyncio.CancelledError, 10, "left"),  # long texts are cut into windows that overlap
        (4, EngineError, 4, "failed"),
        (0, OverloadedError, 0, "failed"),
    ],
)
def test_of_a_prompt_alone_what_was_computed_counts(
    computed: int, error: type[BaseException] | None, paid: int, how: str
) -> None:
    async def scenario() -> None:
        ledger = Ledger()
        with suppress(asyncio.CancelledError, EngineError, OverloadedError):
            async with FlatBill(ledger, 10) as bill:
                bill.computed_tokens = computed
                if error is not None:
                    raise error("ended")
        assert [(usage, ending) for _, usage, ending in ledger.settled] == [(Usage(prompt_tokens=paid), how)]

    asyncio.run(scenario())


def test_a_failure_is_told_as_one(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        engine, ledger = ScriptedEngine(), Ledger()
        events = asked(tokenizer, engine, ledger)
        await anext(events)
        engine.say(b"abc")
        engine.finish(FinishReason.ERROR, error="broken")
        with pytest.raises(EngineError):
            async for _ in events:
                pass
        assert [(usage.completion_tokens, ending) for _, usage, ending in ledger.settled] == [(3, "failed")]

    asyncio.run(scenario())


def test_a_full_queue_gives_everything_back(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        ledger = Ledger()
        with pytest.raises(OverloadedError):
            await anext(asked(tokenizer, FullEngine(), ledger))
        assert [(usage, ending) for _, usage, ending in ledger.settled] == [(Usage(), "failed")]

    asyncio.run(scenario())


def test_who_is_refused_reaches_no_engine_and_settles_nothing(tokenizer: Tokenizer) -> None:
    async def scenario() -> None:
        engine, ledger = ScriptedEngine(), Ledger(refuses=True)
        with pytest.raises(InsufficientQuotaError):
            await anext(asked(tokenizer, engine, ledger))
        assert engine.request is None
        assert ledger.settled == []

    asyncio.run(scenario())


def test_compiled_grammars_are_kept_apart_by_project(tokenizer: Tokenizer) -> None:
    grammars = Grammars(tokenizer=tokenizer, vocab_size=tokenizer.vocab_size, dialect=GENERIC)
    for project in ("a", "b", "a"):
        assert grammars.mask(PROMPT, JsonObject(), project=project) is not None
    kept = grammars._compiler()._kept
    assert [owner for owner, _ in kept] == ["b", "a"], "compiled for each, found again by its own"
