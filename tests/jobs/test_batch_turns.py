"""When a batch is put down for another project's."""

from __future__ import annotations

from pennyweight.jobs.batch_turns import TURN_S, Turn, to_put_down
from pennyweight.store.batch_claims import ProjectLoad


def turn(batch_id: str, project: str, seconds: float = 1.0) -> Turn:
    return Turn(batch_id=batch_id, project_id=project, seconds=seconds)


def load(project: str, claimed: int, waiting: int = 0) -> ProjectLoad:
    return ProjectLoad(project_id=project, num_claimed=claimed, num_waiting=waiting)


def test_nobody_waits() -> None:
    turns = [turn("1", "a", 1000), turn("2", "a", 1000)]
    assert to_put_down(turns, [load("a", 2)]) is None


def test_a_project_alone_is_left_alone() -> None:
    turns = [turn("1", "a", 1000), turn("2", "a", 2000)]
    assert to_put_down(turns, [load("a", 2, 5)]) is None


def test_who_has_two_gives_one_up_at_once_the_newest() -> None:
    turns = [turn("1", "a", 30), turn("2", "a", 20), turn("3", "a", 10)]
    assert to_put_down(turns, [load("a", 3), load("b", 0, 1)]) == "3"


def test_equal_shares_are_kept() -> None:
    turns = [turn("1", "a", 2000), turn("2", "a", 2000), turn("3", "b"), turn("4", "b")]
    assert to_put_down(turns, [load("a", 2, 3), load("b", 2, 3)]) is None


def test_who_has_one_gives_it_up_after_its_turn_the_longest() -> None:
    turns = [turn("1", "a", TURN_S + 1), turn("2", "b", TURN_S + 9)]
    loads = [load("a", 1), load("b", 1), load("c", 0, 1)]
    assert to_put_down(turns, loads) == "2"
    fresh = [turn("1", "a", TURN_S - 1), turn("2", "b", TURN_S - 9)]
    assert to_put_down(fresh, loads) is None
