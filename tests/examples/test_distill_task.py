"""The task that a program can check, and the checker as a program of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from examples.distill.task import Task, tasks
from tests.house.sources import ROOT

TASK = Task(words=("lamp", "river"), most=8)


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("The lamp fell into the river.", True),
        (' "Lamps light the river at night!" ', True),
        ("The lamp fell into the sea.", False),
        ("The lamp fell. The river rose.", False),
        ("the lamp fell into the river.", False),
        ("The lamp fell into the river", False),
        ("Lamp, river.", False),
        ("The lamp fell into the very cold and dark river.", False),
    ],
)
def test_the_checker(text: str, is_right: bool) -> None:
    assert TASK.check(text) is is_right


def test_a_prompt_says_its_task() -> None:
    assert Task.of(TASK.prompt) == TASK
    with pytest.raises(ValueError, match="no prompt"):
        Task.of("Write a poem.")


def test_tasks_are_the_same_every_time_and_share_no_word_between_parts() -> None:
    train, test = tasks("train", 200, seed=1), tasks("test", 100, seed=1)
    assert train == tasks("train", 200, seed=1) != tasks("train", 200, seed=2)
    assert len(set(train)) == 200
    assert not {word for one in train for word in one.words} & {word for one in test for word in one.words}


def test_the_checker_as_a_program() -> None:
    answers = ["The lamp fell into the river.", "No."]
    messages = [{"role": "user", "content": TASK.prompt}]
    given = "".join(json.dumps({"messages": messages, "answer": answer}) + "\n" for answer in answers)
    command = [sys.executable, "-m", "examples.distill.check"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["1", "0"]
