"""Who follows is woken, and can be told to stop at that very moment."""

from __future__ import annotations

import asyncio

import pytest

from pennyweight.history.bell import Bell


@pytest.mark.parametrize("turns", range(5))
def test_a_listener_that_is_rung_and_cancelled_at_once_stops(turns: int) -> None:
    """However far the ringing has come: a cancel that is lost keeps a server from stopping."""

    async def main() -> None:
        bell = Bell()
        with bell.listening("run_1") as listener:
            waiting = asyncio.create_task(listener.wait())
            await asyncio.sleep(0)
            bell.ring("run_1")
            for _ in range(turns):
                await asyncio.sleep(0)
            if not waiting.done():
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting

    asyncio.run(main())


def test_a_listener_is_woken() -> None:
    async def main() -> None:
        bell = Bell()
        with bell.listening("run_1") as listener:
            bell.ring("run_1")
            await listener.wait()

    asyncio.run(main())
