"""What the peers' programs share: how a task becomes calls, and what is told when a package is not there."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from benchmarks.contenders import ROOT
from benchmarks.environments import PackagePeer, converted, run_quietly
from benchmarks.process_time import Readings, seconds_beside, thread_seconds
from benchmarks.timed_generation import time_task
from benchmarks.workload import Sampling, Task

if TYPE_CHECKING:
    from pathlib import Path


class Calls:
    """An engine that notes what it was asked to generate."""

    def __init__(self) -> None:
        self.prompts: list[list[list[int]]] = []
        self.num_tokens: list[int] = []

    def generate(self, prompts: list[list[int]], num_tokens: int, sampling: Sampling) -> None:
        assert sampling == "greedy"
        self.prompts.append(prompts)
        self.num_tokens.append(num_tokens)
        sum(range(20_000 * num_tokens))  # a longer answer takes longer


def test_a_prompt_is_read_once_and_one_token_written() -> None:
    calls = Calls()
    assert time_task(Task(measured="prompt", context=512), calls.generate).value > 0
    assert [len(prompts[0]) for prompts in calls.prompts] == [64, 512]
    assert calls.num_tokens == [16, 1]


def test_streams_get_prompts_of_their_own_every_time() -> None:
    calls = Calls()
    time_task(Task(measured="decode", context=128, tokens=64, streams=4), calls.generate)
    assert calls.num_tokens[1:] == [1, 65]
    prompts = [tuple(prompt) for call in calls.prompts[1:] for prompt in call]
    assert {len(prompt) for prompt in prompts} == {128}
    assert len(set(prompts)) == 8


def test_a_shared_prefix_is_read_before_the_clock_starts() -> None:
    calls = Calls()
    time_task(Task(measured="decode", context=128, tokens=64, streams=4, prefix="shared"), calls.generate)
    [prefix] = calls.prompts[1]
    assert len(prefix) == 128
    assert all(prompt[:128] == prefix and len(prompt) == 129 for call in calls.prompts[2:] for prompt in call)


def test_a_package_that_is_not_there_is_told(tmp_path: Path) -> None:
    python = tmp_path / "openvino" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "openvino" / "complete").touch()
    peer = PackagePeer(name="openvino", folder=tmp_path, model=tmp_path / "m.gguf", root=ROOT)
    with pytest.raises(RuntimeError, match="failed"):
        peer.measure(Task(measured="prompt", context=8), threads=1)


def test_a_model_is_converted_once(tmp_path: Path) -> None:
    target = tmp_path / "models" / "m.ctranslate2"
    target.mkdir(parents=True)
    assert converted(tmp_path, tmp_path / "m.gguf", "ctranslate2", root=ROOT) == target


def test_a_command_that_fails_says_what_it_said() -> None:
    with pytest.raises(RuntimeError, match="that is why"):
        run_quietly(sys.executable, "-c", "raise SystemExit('that is why')")


def test_threads_of_a_process_are_read() -> None:
    assert threading.get_native_id() in thread_seconds(os.getpid())


def test_the_busiest_threads_are_the_workers_and_new_ones_count() -> None:
    before = {1: 1.0, 2: 5.0, 3: 0.0}
    after = {1: 1.5, 2: 9.0, 3: 3.0, 4: 0.25}
    assert seconds_beside(before, after, workers=2) == 0.75


def test_what_others_took_is_what_is_left_of_the_machine() -> None:
    earlier, later = Readings(10.0, 100.0, 1.0, 2), Readings(20.0, 119.0, 16.0, 2)
    assert later.foreign_share(earlier) == 0.2
    assert earlier.foreign_share(earlier) == 0.0
    assert Readings.now().own_s > 0
