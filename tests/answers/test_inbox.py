"""Nothing posted is lost, and one wake-up serves many events."""

from __future__ import annotations

import asyncio
import threading

from pennyweight.answers.inbox import Inbox
from pennyweight.core import TokenEvent


def test_events_from_another_thread_arrive_whole_and_in_order() -> None:
    async def scenario() -> None:
        inbox = Inbox()
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
        return Inbox()

    inbox = asyncio.run(make())
    inbox.post(TokenEvent(0, 1))
    inbox.post(TokenEvent(0, 2))
