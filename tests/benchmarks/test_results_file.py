"""The results file: samples survive, a row knows its date, an older format is not mistaken for this one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from benchmarks.goals import ratio_goal
from benchmarks.results import Results
from benchmarks.samples import Sample
from tests.benchmarks.measured import Recorded, row_of

if TYPE_CHECKING:
    from pathlib import Path


def test_a_sample_is_on_disk_as_soon_as_it_is_added(tmp_path: Path) -> None:
    path = tmp_path / "results" / "peers.json"
    contender = Recorded(label="a", values=[])
    row = row_of(contender, goals=(ratio_goal("llama.cpp", 6),))
    Results(path).add(row, contender, Sample(value=3265.123456, also={"share": 0.5}))
    stored = json.loads(path.read_text(encoding="utf-8"))["rows"]["prompt"]
    assert stored["measured"]["a"]["samples"] == [{"value": 3265.1, "also": {"share": 0.5}}]
    assert stored["goals"] == [{"kind": "ratio", "bound": 6, "of": "llama.cpp"}]
    assert len(stored["machine"]["date"]) == len("2026-01-01")
    assert [file.name for file in path.parent.iterdir()] == ["peers.json"]


def test_a_row_is_forgotten_alone(tmp_path: Path) -> None:
    results = Results(tmp_path / "peers.json")
    contender = Recorded(label="a", values=[])
    rows = [row_of(contender, key=key) for key in ("prompt", "decode")]
    for row in rows:
        results.add(row, contender, Sample(value=1.0))
    results.drop("prompt")
    assert [results.count(row, contender) for row in rows] == [0, 1]


def test_a_failure_goes_when_a_sample_comes(tmp_path: Path) -> None:
    results = Results(tmp_path / "peers.json")
    contender = Recorded(label="a", values=[])
    row = row_of(contender)
    results.add_failure(row, contender, "not installed")
    results.add(row, contender, Sample(value=1.0))
    assert "failure" not in results.data["rows"]["prompt"]["measured"]["a"]


def test_a_file_of_another_format_is_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    path.write_text('{"tokens_per_second": {}}', encoding="utf-8")
    assert Results(path).data["rows"] == {}


def test_rows_stand_in_the_order_of_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "peers.json"
    contender = Recorded(label="a", values=[])
    results = Results(path, ["prompt", "decode"])
    for key in ("gone", "decode", "prompt"):
        results.add(row_of(contender, key=key), contender, Sample(value=1.0))
    assert list(json.loads(path.read_text(encoding="utf-8"))["rows"]) == ["prompt", "decode", "gone"]
