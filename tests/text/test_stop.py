"""Stop strings found as if text came one character at a time, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pennyweight.errors import InvalidRequestError
from pennyweight.text.stop import StopStrings

LETTERS = st.text(alphabet="abc", max_size=12)
STOPS = st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=4)


def naive(text: str, stops: list[str]) -> tuple[str, str | None]:
    """The visible text and the stop string, found by trying every end."""
    for end in range(len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            stop = max(found, key=len)
            return text[: end - len(stop)], stop
    return text, None


@given(chunks=st.lists(LETTERS, max_size=6), stops=STOPS)
@example(chunks=["a", "bcd"], stops=["abcd", "bc"])
@example(chunks=["aab"], stops=["ab", "aab", "b"])
def test_any_cutting_gives_the_naive_answer(chunks: list[str], stops: list[str]) -> None:
    scanner = StopStrings(stops)
    shown, matched = "", None
    for chunk in chunks:
        safe, matched = scanner.push(chunk)
        shown += safe
        if matched is not None:
            break
    else:
        shown += scanner.flush()
    assert (shown, matched) == naive("".join(chunks), stops)


@given(chunks=st.lists(LETTERS, max_size=6), stops=STOPS)
def test_no_more_is_held_back_than_could_become_a_stop(chunks: list[str], stops: list[str]) -> None:
    scanner = StopStrings(stops)
    shown, text = "", ""
    for chunk in chunks:
        safe, matched = scanner.push(chunk)
        if matched is not None:
            return
        shown, text = shown + safe, text + chunk
        held = text[len(shown) :]
        assert not held or any(stop.startswith(held) for stop in stops)
        assert not any(
            stop.startswith(text[start:]) for stop in stops for start in range(len(shown))
        )  # nothing shown may still be part of one


def test_text_without_stops_passes_at_once() -> None:
    scanner = StopStrings([])
    assert scanner.push("abc") == ("abc", None)
    assert scanner.flush() == ""


def test_what_follows_a_match_is_dropped() -> None:
    assert StopStrings(["\n\n"]).push("one\n\ntwo") == ("one", "\n\n")


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        StopStrings(["a", ""])
    assert refusal.value.param == "stop"
