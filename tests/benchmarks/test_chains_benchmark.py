"""The section on conversations says what the recorded turns say."""

from __future__ import annotations

from benchmarks import chains_table
from benchmarks.chains import TURNS, opening, question


def test_a_row_for_some_turns_and_one_without_a_cache() -> None:
    turns = [
        {"prompt_tokens": 60 * n, "cached_tokens": 60 * n - 30, "ttft_s": 0.03} for n in range(1, TURNS + 1)
    ]
    cold = {"prompt_tokens": 602, "cached_tokens": 2, "ttft_s": 0.2}
    machine = {"date": "2026-01-01", "cores": 2, "processor": "P"}
    told = [{"turns": turns, "cold": cold}]
    lines = chains_table.section({"machine": machine, "max_tokens": 32, "conversations": told})
    assert "| turn 10 | 600 | 30 | 30 (30-30) |" in lines
    assert "| turn 10, nothing cached | 602 | 600 | 200 (200-200) |" in lines


def test_every_conversation_begins_with_its_own_sentence() -> None:
    assert len({opening(f"abc{n}")[:16] for n in range(10)}) == 10
    assert len({question(turn) for turn in range(TURNS)}) == TURNS
