"""The section on batches says what the recorded rounds say."""

from __future__ import annotations

from typing import Any

from benchmarks import batch_table
from benchmarks.batch import body_of, ways


def report(batch: float) -> dict[str, Any]:
    rounds = [{"engine": 40.0, "batch": batch, "streams": 30.0, "alone": 10.0}]
    machine = {"date": "2026-01-01", "cores": 2, "processor": "P"}
    return {"machine": machine, "lines": 2000, "max_tokens": 16, "rounds": rounds}


def test_a_row_for_each_way_and_a_verdict() -> None:
    lines = batch_table.section(report(40.0))
    assert "| a batch | 40.0 (40.0-40.0) | 1.00 |" in lines
    assert "| one by one over HTTP | 10.0 (10.0-10.0) | 0.25 |" in lines
    assert lines[-1].endswith(": met.")
    assert batch_table.section(report(37.0))[-1].endswith("missed (0.93).")


def test_every_request_is_its_own() -> None:
    assert set(ways(range(10))) == {"batch", "streams", "alone"}
    assert len({str(body_of(number)) for number in range(100)}) == 100
