"""Nothing posted is lost, and one wake-up serves many events and many readers."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from typing import Any

from pennyweight.answers.inbox import LONGEST_REST_S, Inbox, Wakeups, WakeupsByLoop
from pennyweight.core import FinishedEvent, FinishReason, Timings, TokenEvent, Usage


def test_events_from_another_thread_arrive_whole_and_in_order() -> None:
    async def scenario() -> None:
        inbox = Inbox(WakeupsByLoop().here())
        count = 20_000

        def post_all() -> None:
            for token in range(count):
                inbox.post(TokenEvent(0, token))

        poster = threading.Thread(target=post_all)
        poster.start()
        received: list[int] = []
        batches = 0
        while len(received) < count:
            received += [event.token for event in await inbox.take() if isinstance(event, TokenEvent)]
            batches += 1
        poster.join()
        assert received == list(range(count))
        assert batches < count / 2

    asyncio.run(scenario())


def test_posting_to_a_closed_loop_is_harmless() -> None:
    async def make() -> Inbox:
        return Inbox(WakeupsByLoop().here())

    inbox = asyncio.run(make())
    inbox.post(TokenEvent(0, 1))
    inbox.post(TokenEvent(0, 2))


def test_one_call_wakes_all_readers_of_a_loop() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        calls = 0
        call = loop.call_soon_threadsafe

        def counted(*arguments: Any, **keywords: Any) -> asyncio.Handle:
            nonlocal calls
            calls += 1
            return call(*arguments, **keywords)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        by_loop = WakeupsByLoop()
        inboxes = [Inbox(by_loop.here()) for _ in range(8)]
        for inbox in inboxes:
            inbox.post(TokenEvent(0, 1))
        assert calls == 1
        for inbox in inboxes:
            assert await inbox.take() == [TokenEvent(0, 1)]
        inboxes[0].post(TokenEvent(0, 2))
        assert calls == 2
        assert await inboxes[0].take() == [TokenEvent(0, 2)]

    asyncio.run(scenario())


def test_readers_rest_after_an_event_but_the_first_and_the_last_come_at_once() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        now = 100.0
        loop.time = lambda: now  # type: ignore[method-assign]
        by_loop = WakeupsByLoop()
        readers = [Inbox(by_loop.here()) for _ in range(20)]
        for reader in readers:
            reader.post(TokenEvent(0, 1))
        for reader in readers:
            assert len(await reader.take()) == 1
        readers[0].post(TokenEvent(0, 2))
        taking = asyncio.create_task(readers[0].take())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not taking.done(), "twenty readers were woken just now"
        readers[0].post(TokenEvent(0, 3))
        newcomer = Inbox(by_loop.here())
        newcomer.post(TokenEvent(0, 1))
        assert len(await newcomer.take()) == 1
        assert len(await taking) == 2, "whoever is due comes along"
        readers[1].post(TokenEvent(0, 2))
        readers[1].post(FinishedEvent(choice=0, reason=FinishReason.STOP, usage=Usage(), timings=Timings()))
        assert len(await readers[1].take()) == 2, "an end comes at once too"
        readers[2].post(TokenEvent(0, 2))
        now += LONGEST_REST_S
        assert len(await readers[2].take()) == 1

    asyncio.run(scenario())


def test_who_does_not_follow_is_told_the_end_alone() -> None:
    async def scenario() -> None:
        inbox = Inbox(WakeupsByLoop().here(), followed=False)
        taking = asyncio.create_task(inbox.take())
        inbox.post(TokenEvent(0, 1))
        inbox.post(TokenEvent(0, 2))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not taking.done()
        end = FinishedEvent(choice=0, reason=FinishReason.STOP, usage=Usage(), timings=Timings())
        inbox.post(end)
        assert await taking == [TokenEvent(0, 1), TokenEvent(0, 2), end]

    asyncio.run(scenario())


def test_a_loop_that_is_gone_is_forgotten() -> None:
    by_loop = WakeupsByLoop()

    async def here() -> weakref.ref[Wakeups]:
        return weakref.ref(by_loop.here())

    wakeups = asyncio.run(here())
    gc.collect()
    assert wakeups() is None
