"""Events of a run as OpenAI's clients read them: `event:` lines with bare objects, ended by `done`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.errors import error_object
from pennyweight.server.sse import RUN_DONE, event_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pennyweight.errors import PennyweightError


class ThreadWire:
    """Payloads have the name of the `event` and its `data`."""

    end = RUN_DONE

    def line(self, payload: dict[str, Any]) -> bytes:
        return f"event: {payload['event']}\n".encode() + event_line(payload["data"])

    def failure(self, error: PennyweightError) -> Iterable[dict[str, Any]]:
        """What keeps us from telling more of a run, which may go on."""
        return ({"event": "error", "data": error_object(error)},)
