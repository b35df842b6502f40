"""Following what a text repeats of itself."""

from __future__ import annotations

from pennyweight.engine.recurrence import MATCH_TOKENS, MAX_UNSEEN, WINDOW_TOKENS, Recurrence


def after(*runs: list[int]) -> Recurrence:
    """A recurrence that has followed a text growing token by token."""
    text: list[int] = []
    recurrence = Recurrence()
    for run in runs:
        for token in run:
            text.append(token)
            recurrence.catch_up(text)
    return recurrence


def test_it_expects_what_followed_before() -> None:
    assert MATCH_TOKENS == 3
    assert after([1, 2, 3, 4, 5, 6], [9, 2, 3]).propose(2) == ()
    assert after([1, 2, 3, 4, 5, 6], [9, 2, 3, 4]).propose(2) == (5, 6)
    assert after([1, 2, 3, 4, 5, 6], [9, 2, 3, 4, 5]).propose(1) == (6,)


def test_the_latest_occurrence_counts() -> None:
    assert after([1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3]).propose(1) == (5,)


def test_a_text_that_repeats_goes_on_repeating() -> None:
    assert after([1, 2] * 4).propose(5) == (1, 2, 1, 2, 1)
    assert after([7] * 5).propose(3) == (7, 7, 7)
    assert after([7] * 5).propose(0) == ()


def test_it_is_trusted_for_what_it_got_right() -> None:
    ordinary = after(list(range(40)), [1, 2, 3, 99])
    assert ordinary.propose(1) == ()
    copying = after(list(range(40)), list(range(20)))
    assert copying.probability > 0.8 > 0.4 > ordinary.probability


def test_matches_respect_the_borders_of_tokens() -> None:
    """The bytes of 1, 2, 3 stand in these tokens too, at an odd offset."""
    shifted = [0x00000100, 0x00000200, 0x00000300, 0x00000400]
    assert after(shifted, [1, 2, 3]).propose(1) == ()


def test_a_long_text_at_once_is_taken_in_without_measuring() -> None:
    text = list(range(MAX_UNSEEN + 50))
    recurrence = Recurrence()
    recurrence.catch_up([*text, 5, 6, 7])
    assert recurrence.propose(2) == (8, 9)
    assert recurrence.probability == Recurrence().probability


def test_what_lies_too_far_back_is_not_found() -> None:
    text = [1, 2, 3, 4, *range(10, 10 + WINDOW_TOKENS), 1, 2, 3]
    recurrence = Recurrence()
    recurrence.catch_up(text)
    assert recurrence.propose(1) == ()
    recurrence.catch_up([*text, 100, 101, 102])
    assert recurrence.propose(1) == (103,)
