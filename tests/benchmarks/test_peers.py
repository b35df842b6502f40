"""The comparison's arithmetic and its table; the tools themselves are run by `make bench-peers`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.llamacpp import LlamaCpp
from benchmarks.peers import compare, ratios
from benchmarks.workload import Run, summarise


class Recorded:
    """A contender that replays figures, one run after another, and notes that it was asked."""

    def __init__(self, label: str, prompts: list[float], turns: list[str]) -> None:
        self.label = label
        self._prompts = iter(prompts)
        self._turns = turns

    def measure(self, model: Path, *, threads: int) -> Run:
        """The next recorded run."""
        assert threads == 2
        self._turns.append(self.label)
        return Run(prompt=next(self._prompts), decode=10.0, streams=float(len(model.name)))


def _tests() -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    return {
        "Q4_1": {
            "pennyweight": summarise([Run(prompt=1000, decode=300, streams=900)]),
            "pennyweight avx2": summarise([Run(prompt=600, decode=200, streams=500)]),
            "llama.cpp native": summarise([Run(prompt=500, decode=100, streams=300)]),
            "llama.cpp avx2": summarise([Run(prompt=400, decode=150, streams=200)]),
        }
    }


def test_a_figure_is_the_median_with_its_extremes() -> None:
    runs = [Run(prompt=value, decode=1.0, streams=1.0) for value in (30.0, 10.0, 20.04)]
    assert summarise(runs)["prompt"] == {"median": 20.0, "low": 10.0, "high": 30.0}


def test_the_ratio_is_taken_against_the_best_of_the_peer() -> None:
    own = ratios(_tests())["Q4_1"]
    assert own["pennyweight"] == {"prompt": 2.0, "decode": 2.0, "streams": 3.0}
    assert own["pennyweight avx2"] == {"prompt": 1.5, "decode": 1.33, "streams": 2.5}


def test_rounds_interleave_and_take_turns_at_the_start() -> None:
    turns: list[str] = []
    contenders = [Recorded("a", [1.0, 3.0], turns), Recorded("b", [5.0, 7.0], turns)]
    figures = compare(contenders, {"Q4_1": Path("s.gguf")}, rounds=2, threads=2)
    assert turns == ["a", "b", "b", "a"]
    assert figures["Q4_1"]["b"]["prompt"]["median"] == 6.0


def test_the_table_shows_the_best_peer_of_each_figure() -> None:
    machine = {
        "processor": "P",
        "instruction_sets": "avx2",
        "cores": 2,
        "memory_gib": 24,
        "date": "2026-11-21",
    }
    report = {
        "machine": machine,
        "versions": {"pennyweight": "0.1.0", "llama.cpp": "b1"},
        "rounds": 5,
        "tokens_per_second": _tests(),
        "ratios": ratios(_tests()),
    }
    lines = table.render(report).splitlines()
    assert lines[2] == "| Q4_1, prompt of 512 | 1,000 (1,000-1,000) | 500 (500-500) | 2.0x |"
    assert lines[3] == "| Q4_1, decode, one stream | 300 (300-300) | 150 (150-150) | 2.0x |"
    assert "2026-11-21, on 2 cores of P (avx2), 24 GiB" in lines[-1]


def test_the_table_replaces_what_stands_between_the_markers() -> None:
    readme = f"before\n{table.START}\nold\n{table.END}\nafter\n"
    assert table.updated(readme, "new") == f"before\n{table.START}\nnew\n{table.END}\nafter\n"


def _tool(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    (folder / name).chmod(0o755)


def test_llama_cpp_output_is_read(tmp_path: Path) -> None:
    lines = [{"n_prompt": 512, "n_gen": 0, "avg_ts": 400.5}, {"n_prompt": 0, "n_gen": 128, "avg_ts": 130.25}]
    _tool(tmp_path, "llama-bench", "\n".join(f"echo '{json.dumps(line)}'" for line in lines))
    batched = "echo; echo 'main: some log'; echo '{\"pl\": 32, \"speed_tg\": 250.0}'"
    _tool(tmp_path, "llama-batched-bench", batched)
    run = LlamaCpp(name="native", tools=tmp_path).measure(Path("m.gguf"), threads=2)
    assert run == Run(prompt=400.5, decode=130.25, streams=250.0)


def test_a_failing_tool_says_what_it_said(tmp_path: Path) -> None:
    _tool(tmp_path, "llama-bench", "echo 'no such model' >&2; exit 1")
    with pytest.raises(RuntimeError, match="no such model"):
        LlamaCpp(name="native", tools=tmp_path).measure(Path("m.gguf"), threads=2)
