"""`plan.json`: read as it was written, and refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pennyweight.errors import ConfigError
from pennyweight.tune.plan import PLAN_FILE, TuningPlan, plan_of, read_plan

USUAL: dict[str, Any] = {"model": "m.gguf", "training_file": "t.jsonl"}


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    plan = TuningPlan(
        model=tmp_path / "m.gguf", training_file=tmp_path / "t.jsonl", method="dpo", n_epochs=3, beta=0.2
    )
    (tmp_path / PLAN_FILE).write_text(json.dumps(plan.as_json()))
    assert read_plan(tmp_path) == plan


def test_paths_may_be_relative_to_the_folder(tmp_path: Path) -> None:
    plan = plan_of({**USUAL, "validation_file": "v.jsonl"}, base=tmp_path)
    assert (plan.model, plan.validation_file) == (tmp_path / "m.gguf", tmp_path / "v.jsonl")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"modle": "x"}, "unknown keys modle"),
        ({"model": None}, "lacks model"),
        ({"method": "magic"}, "it may be supervised, dpo"),
        ({"n_epochs": 0}, "n_epochs"),
        ({"n_epochs": "many"}, "n_epochs"),
        ({"seed": "auto"}, "seed"),
        ({"lora_rank": 512}, "lora_rank"),
        ({"threads": None}, "threads"),
        ({"method": "grpo"}, "lacks reward_command"),
        ({"method": "grpo", "reward_command": "x", "validation_file": "v.jsonl"}, "no validation_file"),
        ({"group_size": 1}, "group_size"),
    ],
)
def test_what_cannot_be_followed(told: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plan_of({**USUAL, **told}, base=Path())


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_no_plan(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / PLAN_FILE).write_text(text)
    with pytest.raises(ConfigError, match=PLAN_FILE):
        read_plan(tmp_path)
