"""What the tables say: the best peer, the ratio the right way round, goals met and missed, where and when."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks import table
from benchmarks.goals import Goal, ratio_goal, share_goal, value_goal

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"processor": "P", "instruction_sets": "avx2", "cores": 2, "memory_gib": 24, "date": "2026-11-21"}


def _measured(family: str, *values: float, **also: float) -> dict[str, Any]:
    return {"family": family, "samples": [{"value": value, "also": also} for value in values]}


def _row(**changes: Any) -> dict[str, Any]:
    measured = {
        "Pennyweight": _measured("Pennyweight", 900, 1000, 1100, int8_peak_share=0.5),
        "llama.cpp native": _measured("llama.cpp", 500),
        "llama.cpp avx2": _measured("llama.cpp", 400),
        "OpenVINO": _measured("OpenVINO", 800),
        "CTranslate2": {"family": "CTranslate2", "samples": [], "failure": "cannot read it"},
    }
    row = {"title": "prompt of 512", "unit": "tokens/s", "better": "higher", "headline": True, "goals": []}
    return {**row, "machine": MACHINE, "measured": measured, **changes}


def _goals(*goals: Goal) -> list[dict[str, Any]]:
    return [goal.to_data() for goal in goals]


def _report(**rows: dict[str, Any]) -> dict[str, Any]:
    return {"versions": {"Pennyweight": "0.1.0", "llama.cpp": "b1"}, "rows": rows}


def test_the_best_peer_is_named_with_its_spread_and_the_ratio() -> None:
    assert table.MeasuredRow(_row()).cells() == "1,000 (900-1,100) | OpenVINO 800 (800-800) | 1.25x"


def test_a_ratio_goal_is_held_against_the_best_configuration_of_its_peer() -> None:
    goals = _goals(ratio_goal("llama.cpp", 2), ratio_goal("OpenVINO", 1.3))
    assert table.MeasuredRow(_row(goals=goals)).verdict() == "missed: 1.3x OpenVINO (1.25x)"
    assert table.MeasuredRow(_row(goals=goals[:1])).verdict() == "met: 2x llama.cpp"


def test_a_share_of_a_limit_is_a_goal_too() -> None:
    row = table.MeasuredRow(_row(goals=_goals(share_goal("int8_peak_share", 0.52))))
    assert row.verdict() == "missed: 52% of the int8 peak (50%)"


def test_where_lower_is_better_ratio_and_goal_turn_round() -> None:
    measured = {"Pennyweight": _measured("Pennyweight", 25), "a": _measured("llama.cpp", 75, 85)}
    row = table.MeasuredRow(
        _row(
            measured=measured,
            unit="ms",
            better="lower",
            goals=_goals(value_goal(20), ratio_goal("llama.cpp", 3)),
        )
    )
    assert row.cells() == "25 ms (25-25) | llama.cpp 80 ms (75-85) | 3.20x"
    assert row.verdict() == "missed: at most 20 ms (25)"


def test_a_row_we_lose_stands_there_like_the_others() -> None:
    row = _row(measured={"Pennyweight": _measured("Pennyweight", 50), "a": _measured("OpenVINO", 100)})
    line = table.short_table(_report(prompt=row)).splitlines()[2]
    assert line == "| prompt of 512 | 50 (50-50) | OpenVINO 100 (100-100) | 0.50x |  |"


def test_a_goal_whose_peer_has_no_figure_is_not_judged() -> None:
    row = table.MeasuredRow(_row(goals=_goals(ratio_goal("CTranslate2", 2))))
    assert row.verdict() == ""


def test_the_readme_shows_headlines_and_says_where_and_when() -> None:
    later = {**MACHINE, "date": "2026-11-23"}
    text = table.short_table(_report(a=_row(), b=_row(title="other", headline=False, machine=later)))
    assert "other" not in text
    caption = text.splitlines()[-1]
    assert "of 3 interleaved rounds, 2026-11-21 to 2026-11-23, on 2 cores of P (avx2), 24 GiB;" in caption
    assert "Pennyweight 0.1.0, llama.cpp b1" in caption


def test_the_document_has_every_configuration_and_why_one_is_missing() -> None:
    lines = table.document(_report(a=_row())).splitlines()
    assert "| Pennyweight | 1,000 | 900-1,100 | 3 | 50% of the int8 peak |" in lines
    assert "| llama.cpp avx2 | 400 | 400-400 | 1 |  |" in lines
    assert "| CTranslate2 | | | 0 | cannot read it |" in lines


def test_without_results_the_tables_say_so(tmp_path: Path) -> None:
    assert "make bench-peers" in table.current_table(tmp_path / "none.json")
    assert "make bench-peers" in table.current_document(tmp_path / "none.json")


def test_the_recorded_file_is_what_is_rendered(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text(json.dumps(_report(a=_row())), encoding="utf-8")
    assert table.current_table(path) == table.short_table(_report(a=_row()))


def test_the_table_replaces_what_stands_between_the_markers() -> None:
    readme = f"before\n{table.START}\nold\n{table.END}\nafter\n"
    assert table.updated(readme, "new") == f"before\n{table.START}\nnew\n{table.END}\nafter\n"
