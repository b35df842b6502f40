"""Whose windows are next: people's, and for lines of batches what is left and their share."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from pennyweight.answers.embedding_waiting import BATCH_TOKENS, EmbeddingJob, EmbeddingsWaiting

if TYPE_CHECKING:
    from pennyweight.answers.embedding_waiting import Window
    from pennyweight.core import Priority


def job(num_windows: int, *, size: int = 64, priority: Priority = "interactive") -> EmbeddingJob:
    return EmbeddingJob(windows=[(0,) * size] * num_windows, priority=priority)


def waiting(*jobs: EmbeddingJob, share: float = 0.1) -> EmbeddingsWaiting:
    made = EmbeddingsWaiting(batch_share=share)
    for one in jobs:
        made.add(one)
    return made


def tokens(batch: list[Window]) -> Counter[str]:
    count: Counter[str] = Counter()
    for one, index in batch:
        count[one.priority] += len(one.windows[index])
    return count


def test_a_person_behind_a_thousand_lines_is_in_the_next_batch() -> None:
    lines = waiting(*(job(1, priority="batch") for _ in range(1000)))
    lines.take()
    person = job(1)
    lines.add(person)
    assert lines.priority == "interactive"
    assert lines.take()[0] == (person, 0)


def test_lines_get_the_room_that_people_leave() -> None:
    batch = waiting(job(9, priority="batch"), job(1)).take()
    assert tokens(batch) == {"interactive": 64, "batch": BATCH_TOKENS - 64}


@pytest.mark.parametrize("share", [0.1, 0.5])
@pytest.mark.parametrize("size", [20, 64, 500])
def test_beside_people_who_never_stop_lines_get_their_share(share: float, size: int) -> None:
    """Windows are whole, so that a long one is paid in advance."""
    line = job(10_000, size=size, priority="batch")
    both = waiting(line, job(10_000), share=share)
    count: Counter[str] = Counter()
    for _ in range(300):
        count += tokens(both.take())
    assert abs(count["batch"] - share * count.total()) <= size + BATCH_TOKENS


def test_a_share_of_nothing_is_nothing_while_people_wait() -> None:
    both = waiting(job(1000, priority="batch"), job(100), share=0.0)
    for _ in range(24):
        assert tokens(both.take())["batch"] == 0
    while both.size("interactive")[0]:
        both.take()
    assert tokens(both.take()) == {"batch": BATCH_TOKENS}


def test_what_nobody_kept_waiting_is_no_debt() -> None:
    """Lines that had the encoder for themselves begin at nothing when people come."""
    lines = waiting(job(1000, priority="batch"))
    for _ in range(100):
        lines.take()
    lines.add(job(4))
    assert tokens(lines.take()) == {"interactive": BATCH_TOKENS}


def test_what_one_kind_waits_for_leaves_the_other_its_place() -> None:
    both = waiting(job(3, size=10, priority="batch"), job(2, size=5))
    assert both.size("batch") == (1, 30)
    assert both.size("interactive") == (1, 10)
    cancelled = job(1)
    both.add(cancelled)
    cancelled.future.cancel()
    both.take()
    assert (both.size("batch"), both.size("interactive")) == ((0, 0), (0, 0))
    assert not both
