"""The work folder: one distillation in it, asked once, and lessons enough for a job."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.answers.principal import LOCAL
from pennyweight.api import Engine
from pennyweight.config import Settings
from pennyweight.distillation.asking import Asking
from pennyweight.distillation.prompts import Prompt
from pennyweight.distillation.work import Plan, Work
from pennyweight.errors import ConfigError
from pennyweight.serving import OneModel, serving

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.answers.endpoints import Endpoints

PLAN = Plan(
    teacher="t",
    student="s",
    prompts="digest",
    held_out=0.2,
    samples=2,
    temperature=0.8,
    max_tokens=8,
    seed=1,
    schema=None,
    check=None,
)
PROMPTS = [Prompt(({"role": "user", "content": f"Say {number}"},)) for number in range(12)]


def test_a_folder_is_for_one_distillation(tmp_path: Path) -> None:
    Work(tmp_path / "work", PLAN)
    Work(tmp_path / "work", PLAN)
    with pytest.raises(ConfigError, match="another samples"):
        Work(tmp_path / "work", replace(PLAN, samples=3))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="work folder"):
        Work(tmp_path / "file", PLAN)


def test_a_model_is_asked_once(tmp_path: Path, tiny_llama_path: Path) -> None:
    work, openings = Work(tmp_path / "work", PLAN), 0
    with Engine.open(tiny_llama_path, threads=1, context=128) as engine:

        def endpoints() -> Endpoints:
            nonlocal openings
            openings += 1
            return serving(OneModel(engine), engine.encoder, Settings()).endpoints

        asking = Asking(model=engine.name, samples=2, temperature=1.0, max_tokens=4)
        first = work.ask("teacher", PROMPTS, asking, endpoints=endpoints, principal=LOCAL)
        again = work.ask("teacher", PROMPTS, asking, endpoints=endpoints, principal=LOCAL)
    assert openings == 1
    assert first == again
    assert set(first) == {prompt.key for prompt in PROMPTS}
    assert {len(answered.samples) for answered in first.values()} == {2}
    assert all(0 < answered.tokens <= 8 for answered in first.values())


def test_lessons_are_a_training_file_and_enough(tmp_path: Path) -> None:
    work = Work(tmp_path / "work", PLAN)
    path = work.write_lessons(PROMPTS, {prompt.key: "yes" for prompt in PROMPTS[1:]})
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["messages"][0]["content"] for line in lines] == [f"Say {n}" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="9 answers to learn from, and 10"):
        work.write_lessons(PROMPTS, {prompt.key: "yes" for prompt in PROMPTS[3:]})
