"""The list of rows: complete, without a key or a configuration twice, ours first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.adapter_rows import Adapters
from benchmarks.contenders import OURS
from benchmarks.cost_rows import Costs
from benchmarks.guided_rows import Guided
from benchmarks.http_rows import OverHttp
from benchmarks.in_process_rows import InProcess
from benchmarks.llamacpp import LlamaCpp

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.row import Row

FILES = ("S.Q4_1", "S.Q4_0", "S.Q4_0-pure", "gemma")


def _rows(folder: Path, *, builds: tuple[str, ...], files: tuple[str, ...]) -> list[Row]:
    paths = {name: folder / name for name in files}
    tools = {name: LlamaCpp(name=name, tools=folder) for name in builds}
    in_process = InProcess(files=paths, builds=tools, folder=folder, threads=2)
    rows = [*in_process.rows(), *OverHttp(files=paths, builds=tools, threads=2).rows()]
    rows += [*Guided(files=paths, threads=2).rows(), *Adapters(files=paths, threads=2).rows()]
    return [*rows, *Costs(files=paths, builds=tools, threads=2).rows()]


@pytest.fixture
def rows(tmp_path: Path) -> list[Row]:
    return _rows(tmp_path, builds=("native", "avx2"), files=FILES)


def test_keys_are_unique(rows: list[Row]) -> None:
    keys = [row.key for row in rows]
    assert len(keys) == len(set(keys)) > 20


def test_every_configuration_stands_once_in_its_row_and_ours_is_first(rows: list[Row]) -> None:
    for row in rows:
        labels = [contender.label for contender in row.contenders]
        assert len(labels) == len(set(labels)), row.key
        assert row.contenders[0].family == OURS, row.key


def test_goals_name_engines_that_are_in_their_row(rows: list[Row]) -> None:
    for row in rows:
        families = {contender.family for contender in row.contenders}
        assert {goal.of for goal in row.goals if goal.kind == "ratio"} <= families, row.key


def test_rows_that_cannot_be_measured_here_are_left_out(tmp_path: Path) -> None:
    keys = [row.key for row in _rows(tmp_path, builds=("native",), files=FILES[:3])]
    assert not [key for key in keys if key.startswith("avx2") or key.endswith("gemma")]
