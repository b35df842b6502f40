"""The judge of answers, and the prompts they are asked with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from examples.preference.judge import is_fit, num_words, prefer
from examples.preference.prompt import read_prompts, split
from examples.service import Answer
from tests.examples.small_data import write_lines

if TYPE_CHECKING:
    from pathlib import Path

PROMPT = "How do plants make sugar?"
SHORT = "Plants make sugar from light, water and air."


def answer(text: str, finish_reason: str = "stop") -> Answer:
    return Answer(text=text, finish_reason=finish_reason, prompt_tokens=1, completion_tokens=1)


@pytest.mark.parametrize(
    "unfit",
    ["", "Yes.", "Sugar.\n\nPlants make it from light.", "1. Plants make sugar from light and air",
     "**Plants** make sugar from light and air.", "The weather will be fine on Sunday afternoon."],
)  # fmt: skip
def test_what_is_unfit_loses(unfit: str) -> None:
    assert not is_fit(answer(unfit), PROMPT)
    assert prefer(answer(unfit), answer(SHORT), PROMPT) == "second"
    assert prefer(answer(SHORT), answer(unfit), PROMPT) == "first"
    assert prefer(answer(unfit), answer(unfit), PROMPT) == "tie"


def test_what_was_cut_off_loses() -> None:
    assert prefer(answer(SHORT, "length"), answer(f"{SHORT} {SHORT}"), PROMPT) == "second"


def test_of_two_fit_answers_the_clearly_shorter_wins() -> None:
    long = answer(f"{SHORT} They do so in their leaves, by day.")
    assert prefer(answer(SHORT), long, PROMPT) == "first"
    assert prefer(long, answer(SHORT), PROMPT) == "second"
    assert prefer(answer(SHORT), answer(SHORT.replace("and air", "and the air")), PROMPT) == "first"
    assert prefer(long, answer(long.text.replace("by day", "every day, too")), PROMPT) == "tie"
    assert num_words(answer(SHORT)) == 8


def test_prompts_of_both_kinds_once_and_in_one_part(tmp_path: Path) -> None:
    tasks = [{"instruction": f"Do {i}.", "instances": [{"input": ""}]} for i in range(40)]
    tasks += [{"instruction": "Sum up.", "instances": [{"input": "x" * 700}]}]
    questions = [{"turns": [f"What is {i}?", "And then?"]} for i in range(20)]
    files = [write_lines(tmp_path / "t.jsonl", tasks * 2), write_lines(tmp_path / "q.jsonl", questions)]
    prompts = read_prompts(files)
    assert len(prompts) == 60
    lessons, tests = split(prompts)
    assert sorted(lessons + tests) == sorted(prompts)
    assert {"Do 1.", "What is 7?"} <= set(prompts)
    assert tests
