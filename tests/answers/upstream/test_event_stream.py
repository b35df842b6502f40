"""Server-sent events from anybody: whole, cut anywhere, and without bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pennyweight.answers.upstream import event_stream
from pennyweight.answers.upstream.event_stream import MAX_EVENT_BYTES, EventStreamReader, StreamError

STREAM = (
    b": ping\n\ndata: one\n\nevent: x\r\ndata:two\r\ndata:  three\r\n\r\nid: 7\r\rdata: four\r\rdata: lost"
)


def read(*parts: bytes) -> list[bytes]:
    reader = EventStreamReader()
    return [event for part in parts for event in reader.push(part)]


def test_events_with_every_line_end() -> None:
    assert read(STREAM) == [b"one", b"two\n three", b"four"]


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
@example([STREAM.index(b"data: lost")])
def test_cuts_change_nothing(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in itertools.pairwise(places))) == read(STREAM)


@given(st.binary(max_size=200))
def test_any_bytes_are_events_or_none(data: bytes) -> None:
    read(data, b"\n\n")


def flood(part: bytes, *, times: int) -> None:
    reader = EventStreamReader()
    for _ in range(times):
        reader.push(part)


@pytest.mark.parametrize("part", [b"x" * 1000, b"data: " + b"x" * 1000 + b"\n"])
def test_an_event_without_end(part: bytes) -> None:
    with pytest.raises(StreamError, match="one event"):
        flood(part, times=MAX_EVENT_BYTES // 1000 + 2)


def test_a_stream_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "MAX_STREAM_BYTES", 100_000)
    with pytest.raises(StreamError, match="the stream"):
        flood(b": ping" * 163 + b"\n\n" * 11, times=102)
