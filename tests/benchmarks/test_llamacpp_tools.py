"""llama.cpp's tools: what they are asked and how their output is read, with programs that play them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.llamacpp import LlamaCpp
from benchmarks.workload import Task


def _tool(folder: Path, name: str, script: str) -> LlamaCpp:
    (folder / name).write_text(f'#!/bin/sh\necho "$@" > {folder}/asked\n{script}\n', encoding="utf-8")
    (folder / name).chmod(0o755)
    return LlamaCpp(name="native", tools=folder)


def _asked(folder: Path) -> str:
    return (folder / "asked").read_text(encoding="utf-8")


def test_a_prompt_is_measured_by_llama_bench(tmp_path: Path) -> None:
    line = json.dumps({"n_prompt": 512, "avg_ts": 400.5})
    build = _tool(tmp_path, "llama-bench", f"echo 'some log'; echo '{line}'")
    task = Task(measured="prompt", context=512)
    assert build.measure(Path("m.gguf"), task, threads=2, options=("-fa", "on")).value == 400.5
    assert "-m m.gguf -t 2 -fa on -p 512 -n 0 -r 1 -o jsonl" in _asked(tmp_path)


def test_decode_behind_a_context_asks_for_its_depth(tmp_path: Path) -> None:
    build = _tool(tmp_path, "llama-bench", "echo '{\"avg_ts\": 43.0}'")
    task = Task(measured="decode", context=5600, tokens=64)
    assert build.measure(Path("m.gguf"), task, threads=2, options=()).value == 43.0
    assert "-p 0 -n 64 -d 5600 --no-warmup" in _asked(tmp_path)


@pytest.mark.parametrize(("option", "cache"), [("-kvu", 2048 + 32 * 32), ("-no-kvu", 32 * (2048 + 32))])
def test_a_shared_prompt_gets_a_cache_that_holds_it(tmp_path: Path, option: str, cache: int) -> None:
    build = _tool(tmp_path, "llama-batched-bench", 'echo \'{"pl": 32, "speed_tg": 143.0}\'')
    task = Task(measured="decode", context=2048, tokens=32, streams=32, prefix="shared")
    assert build.measure(Path("m.gguf"), task, threads=2, options=(option,)).value == 143.0
    asked = _asked(tmp_path)
    assert "-npp 2048 -ntg 32 -npl 32" in asked
    assert " -pps" in asked
    assert int(asked.split(" -c ")[1].split()[0]) >= cache


def test_a_failing_tool_says_what_it_said(tmp_path: Path) -> None:
    build = _tool(tmp_path, "llama-bench", "echo 'no such model' >&2; exit 1")
    with pytest.raises(RuntimeError, match="no such model"):
        build.measure(Path("m.gguf"), Task(measured="prompt", context=512), threads=2, options=())
