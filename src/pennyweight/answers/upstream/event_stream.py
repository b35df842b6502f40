"""Bytes of a stream of server-sent events become the data of its events; the sender is not trusted.

(https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream) Comments and fields
other than `data` are skipped. Sizes are bounded: no sender can fill the memory.
"""

from __future__ import annotations

import re

MAX_EVENT_BYTES = 2**20
MAX_STREAM_BYTES = 2**28

_LINE_END = re.compile(rb"\r\n|\n|\r")


class StreamError(Exception):
    """The bytes are not what they should be; the message says in what."""


class EventStreamReader:
    """Bytes go in as they come, the data of whole events comes out."""

    def __init__(self) -> None:
        self._rest = bytearray()  # an unfinished line
        self._data: list[bytes] = []  # of the unfinished event
        self._event_bytes = 0
        self._total = 0

    def push(self, received: bytes) -> list[bytes]:
        """Raises StreamError for an event or a stream beyond its limit."""
        self._total += len(received)
        if self._total > MAX_STREAM_BYTES:
            raise StreamError(f"the stream has more than {MAX_STREAM_BYTES} bytes")
        ended = self._rest.endswith(b"\r") or _LINE_END.search(received)
        self._rest += received
        if not ended:
            self._check(len(self._rest))
            return []
        # A carriage return at the end may be half of a line's end.
        whole = bytes(self._rest[:-1] if self._rest.endswith(b"\r") else self._rest)
        *lines, last = _LINE_END.split(whole)
        self._rest = bytearray(last + self._rest[len(whole) :])
        events = [event for line in lines if (event := self._line(line)) is not None]
        self._check(len(self._rest))
        return events

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            data, self._data, self._event_bytes = self._data, [], 0
            return b"\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._event_bytes += len(value) + 1
            self._check(0)
        return None

    def _check(self, unfinished: int) -> None:
        if self._event_bytes + unfinished > MAX_EVENT_BYTES:
            raise StreamError(f"one event of the stream has more than {MAX_EVENT_BYTES} bytes")
