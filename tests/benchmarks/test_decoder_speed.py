"""Our side in process, end to end on a tiny model: every kind of task runs and gives a figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.contenders import Ours
from benchmarks.decoder_speed import measure, pages_of
from benchmarks.workload import Task

if TYPE_CHECKING:
    from pathlib import Path

TASKS = [
    Task(measured="prompt", context=512),
    Task(measured="prompt", context=700),
    Task(measured="decode", context=0, tokens=70),
    Task(measured="decode", context=65, tokens=3, streams=2),
    Task(measured="decode", context=128, tokens=2, streams=3, prefix="shared", sampling="sampled"),
]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.measured}-{task.context}-{task.streams}")
def test_every_kind_of_task_is_measured(tiny_llama_path: Path, task: Task) -> None:
    sample = measure(tiny_llama_path, task, threads=1)
    assert sample.value > 0
    [(name, share)] = sample.also.items()
    assert name == ("int8_peak_share" if task.measured == "prompt" else "bandwidth_share")
    assert share > 0


def test_a_shared_prefix_has_whole_pages(tiny_llama_path: Path) -> None:
    task = Task(measured="decode", context=100, tokens=2, streams=2, prefix="shared")
    with pytest.raises(ValueError, match="whole pages of 64"):
        measure(tiny_llama_path, task, threads=1)


def test_pages_hold_the_last_token() -> None:
    assert [pages_of(tokens) for tokens in (0, 1, 64, 65)] == [0, 1, 1, 2]


def test_a_task_survives_the_command_line(tiny_llama_path: Path) -> None:
    task = Task(measured="decode", context=0, tokens=2)
    assert Task.from_json(task.to_json()) == task
    sample = Ours(model=tiny_llama_path, task=task, threads=1).measure()
    assert sample.value > 0


def test_a_model_that_is_not_there_is_told(tmp_path: Path) -> None:
    ours = Ours(model=tmp_path / "none.gguf", task=TASKS[0], threads=1, isa="avx2")
    assert ours.label == "Pennyweight avx2"
    with pytest.raises(RuntimeError, match=r"none\.gguf"):
        ours.measure()
