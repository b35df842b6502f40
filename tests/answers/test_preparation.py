"""What is short is prepared at once, as long as that is quick; all else is no burden to the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pennyweight.answers.conversation import Completion, Conversation, Message, TextPart, Tool
from pennyweight.answers.options import JsonObject, Options
from pennyweight.answers.preparation import MAX_CHARS, MAX_MESSAGES, QUICK_S, Preparation, is_short


def chat(*texts: str) -> Conversation:
    return Conversation(messages=tuple(Message(role="user", parts=(TextPart(text),)) for text in texts))


SHORT = chat("Tell me something.")


def test_what_may_take_long_is_not_short() -> None:
    assert is_short(SHORT, Options())
    assert is_short(Completion(prompt=(1,) * 10_000), Options())
    long = "word " * (MAX_CHARS // 5 + 1)
    assert not is_short(chat(long), Options())
    assert not is_short(chat(*["x"] * (MAX_MESSAGES + 1)), Options())
    assert not is_short(Completion(prompt=long), Options())
    tool = Tool(name="f", parameters={"type": "object"})
    assert not is_short(Conversation(messages=SHORT.messages, tools=(tool,)), Options())
    for options in (
        Options(response_format=JsonObject()),
        Options(prediction="text"),
        Options(chat_template_kwargs={"x": 1}),
        Options(truncation="auto"),
    ):
        assert not is_short(SHORT, options)


class Work:
    """Prepares something in as much time as it is told; where it was done."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def clock(self) -> float:
        return self.now_s

    def of(self, seconds: float) -> bool:
        """Whether it is done on the event loop's thread."""
        self.now_s += seconds
        return threading.current_thread() is threading.main_thread()


def test_short_requests_are_prepared_beside_the_loop_while_that_is_slow() -> None:
    async def scenario() -> None:
        work = Work()
        preparation = Preparation(work.clock)

        async def at_once(seconds: float, *, short: bool = True) -> bool:
            return await preparation.result(lambda: work.of(seconds), short=short)

        assert not await at_once(0), "the first one of all"
        assert not await at_once(0, short=False)
        for _ in range(100):
            assert await at_once(QUICK_S / 2)
        assert await at_once(4 * QUICK_S), "one that was held up says nothing"
        assert await at_once(QUICK_S / 2)
        assert await at_once(400 * QUICK_S), "nobody knew"
        for _ in range(20):
            assert not await at_once(QUICK_S / 2)
        while not await at_once(QUICK_S / 2):
            pass

    asyncio.run(scenario())


def test_what_is_refused_is_raised_and_counts() -> None:
    async def scenario() -> None:
        work = Work()
        preparation = Preparation(work.clock)

        def refuse() -> None:
            work.of(100 * QUICK_S)
            raise ValueError("no")

        assert not await preparation.result(lambda: work.of(0), short=True)
        with pytest.raises(ValueError, match="no"):
            await preparation.result(refuse, short=True)
        assert not await preparation.result(lambda: work.of(0), short=True)

    asyncio.run(scenario())
