"""The stream's own behaviour: comments while nothing comes, errors in the middle, a client that leaves."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from pennyweight.errors import EngineError
from pennyweight.server.sse import DONE, PING, EventStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import pytest


class Wire:
    """The ASGI server's side of one response."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.changed = asyncio.Event()
        self.gone = asyncio.Event()
        self.ended = False

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            self.ended = not message["more_body"]
            if message["body"]:
                self.lines.append(message["body"])
                self.changed.set()

    async def run(self, payloads: AsyncGenerator[dict[str, Any]], ping_s: float = 60.0) -> None:
        await EventStream(payloads, ping_s=ping_s)({}, self.receive, self.send)


def test_events_end_with_done() -> None:
    async def payloads() -> AsyncGenerator[dict[str, Any]]:
        yield {"text": "é\n"}

    async def scenario() -> None:
        wire = Wire()
        await wire.run(payloads())
        assert wire.lines == ['data: {"text":"é\\n"}\n\n'.encode(), DONE]
        assert wire.ended

    asyncio.run(scenario())


def test_comments_while_nothing_comes() -> None:
    async def scenario() -> None:
        wire = Wire()

        async def payloads() -> AsyncGenerator[dict[str, Any]]:
            while wire.lines.count(PING) < 2:
                await wire.changed.wait()
                wire.changed.clear()
            yield {}

        await wire.run(payloads(), ping_s=0.001)
        assert wire.lines[:2] == [PING, PING]
        assert wire.lines[-1] == DONE

    asyncio.run(scenario())


def test_an_error_in_the_middle_is_an_event_and_not_done() -> None:
    async def payloads() -> AsyncGenerator[dict[str, Any]]:
        yield {}
        raise EngineError("out of order")

    async def scenario() -> None:
        wire = Wire()
        await wire.run(payloads())
        error = json.loads(wire.lines[-1].removeprefix(b"data: "))["error"]
        assert error == {"message": "out of order", "type": "server_error", "param": None, "code": None}
        assert wire.ended

    asyncio.run(scenario())


def test_a_failure_of_ours_in_the_middle_is_logged_and_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def payloads() -> AsyncGenerator[dict[str, Any]]:
        yield {}
        raise ValueError("a secret of ours")

    async def scenario() -> None:
        wire = Wire()
        await wire.run(payloads())
        assert b"server_error" in wire.lines[-1]
        assert b"secret" not in wire.lines[-1]

    asyncio.run(scenario())
    assert "a secret of ours" in caplog.text


def test_a_client_that_leaves_closes_the_source_at_once() -> None:
    async def scenario() -> None:
        wire = Wire()
        closed = False

        async def payloads() -> AsyncGenerator[dict[str, Any]]:
            nonlocal closed
            try:
                yield {}
                wire.gone.set()
                await asyncio.sleep(3600)
            finally:
                closed = True

        await wire.run(payloads())
        assert closed
        assert not wire.ended

    asyncio.run(scenario())
