"""The rounds of a comparison: order, going on where a run stopped, what is left out."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pytest

from benchmarks import rest
from benchmarks.peers import Comparison
from benchmarks.process_time import Readings
from benchmarks.rest import MachineBusyError
from benchmarks.results import Results
from tests.benchmarks.measured import Recorded, row_of

if TYPE_CHECKING:
    from pathlib import Path


def _compare(results: Results, *, rounds: int, end_s: float = inf) -> Comparison:
    return Comparison(results=results, rounds=rounds, end_s=end_s, tolerance=inf)


def _samples(results: Results, label: str) -> list[float]:
    return [sample["value"] for sample in results.data["rows"]["prompt"]["measured"][label]["samples"]]


def test_rounds_interleave_and_take_turns_at_the_start() -> None:
    turns: list[str] = []
    row = row_of(
        Recorded(label="a", values=[1.0, 3.0], turns=turns),
        Recorded(label="b", values=[5.0, 7.0], turns=turns),
    )
    results = Results(None)
    assert _compare(results, rounds=2).run([row])
    assert turns == ["a", "b", "b", "a"]
    assert _samples(results, "b") == [5.0, 7.0]


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    turns: list[str] = []
    first = Recorded(label="a", values=[1.0, 2.0], turns=turns)
    second = Recorded(label="b", values=[3.0, 4.0], turns=turns)
    row = row_of(first, second)
    Results(path).add(row, first, first.measure())
    results = Results(path)
    assert _compare(results, rounds=2).run([row])
    assert turns == ["a", "b", "b", "a"]
    assert _samples(Results(path), "a") == [1.0, 2.0]


def test_nothing_begins_when_the_time_is_up() -> None:
    contender = Recorded(label="a", values=[1.0])
    results = Results(None)
    assert not _compare(results, rounds=1, end_s=-inf).run([row_of(contender)])
    assert contender.turns == []


def test_a_contender_that_fails_is_told_once_and_the_others_go_on() -> None:
    broken = Recorded(label="b", values=[], family="llama.cpp")
    results = Results(None)
    assert _compare(results, rounds=3).run([row_of(Recorded(label="a", values=[1.0] * 3), broken)])
    assert broken.turns == ["b"]
    assert results.data["rows"]["prompt"]["measured"]["b"]["failure"] == "and no other"
    assert _samples(results, "a") == [1.0] * 3


def test_a_configuration_clearly_behind_its_engines_best_is_not_repeated() -> None:
    slow = Recorded(label="theirs, slow", values=[5.0] * 5, family="llama.cpp")
    fast = Recorded(label="theirs", values=[10.0] * 5, family="llama.cpp")
    ours = Recorded(label="ours", values=[100.0] * 5)
    _compare(Results(None), rounds=5).run([row_of(ours, fast, slow)])
    assert [len(contender.turns) for contender in (ours, fast, slow)] == [5, 5, 2]


def test_where_lower_is_better_the_slow_one_is_behind() -> None:
    slow = Recorded(label="theirs, slow", values=[10.0] * 5, family="llama.cpp")
    fast = Recorded(label="theirs", values=[5.0] * 5, family="llama.cpp")
    _compare(Results(None), rounds=5).run([row_of(fast, slow, better="lower")])
    assert [len(contender.turns) for contender in (fast, slow)] == [5, 2]


def test_a_sample_taken_beside_other_work_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    shares = iter([0.0, 0.5, 0.0, 0.05])  # at rest, disturbed; at rest, not disturbed
    monkeypatch.setattr(Readings, "foreign_share", lambda *_: next(shares))
    contender = Recorded(label="a", values=[1.0, 2.0])
    results = Results(None)
    assert Comparison(results=results, rounds=1, end_s=inf).run([row_of(contender)])
    assert _samples(results, "a") == [2.0]


def test_a_machine_that_does_not_come_to_rest_is_told_and_nothing_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rest, "sleep", lambda _: None)
    monkeypatch.setattr(Readings, "foreign_share", lambda *_: 0.5)
    contender = Recorded(label="a", values=[1.0])
    results = Results(None)
    with pytest.raises(MachineBusyError, match="come to rest"):
        Comparison(results=results, rounds=1, end_s=inf).run([row_of(contender)])
    assert contender.turns == []
    assert results.data["rows"] == {}


def test_what_is_not_timed_is_measured_on_a_busy_machine_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Readings, "foreign_share", lambda *_: 0.5)
    results = Results(None)
    row = row_of(Recorded(label="a", values=[1.0]), timed=False)
    assert Comparison(results=results, rounds=1, end_s=inf).run([row])
    assert _samples(results, "a") == [1.0]
