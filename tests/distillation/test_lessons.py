"""The best answers become lessons; what falls is counted; a program may be the judge."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from pennyweight.distillation.asking import Answered, Sample
from pennyweight.distillation.checks import AnyAnswer, Program
from pennyweight.distillation.comparison import SameAs, row
from pennyweight.distillation.lessons import choose, lesson
from pennyweight.distillation.prompts import Prompt
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROMPTS = [Prompt(({"role": "user", "content": f"Say {number}"},)) for number in range(3)]


class Length:
    """Longer is better; `no` is wrong."""

    def scores(self, answers: Sequence[tuple[Prompt, str]]) -> list[float]:
        return [0.0 if text == "no" else float(len(text)) for _, text in answers]


def answers(*texts: str, cut: int = 0) -> Answered:
    whole = [Sample(text=text, is_whole=True) for text in texts]
    return Answered(samples=(*whole, *[Sample(text="cut", is_whole=False)] * cut), tokens=10)


def test_the_best_answer_is_learnt_and_the_others_are_counted() -> None:
    given = {
        PROMPTS[0].key: answers("a", "longest", "longer", "longest", cut=2),
        PROMPTS[1].key: answers("no", "no"),
    }
    chosen = choose(PROMPTS, given, Length())
    assert chosen.best == {PROMPTS[0].key: "longest"}
    assert (chosen.num_answers, chosen.num_cut, chosen.num_repeated, chosen.num_wrong) == (8, 2, 2, 1)
    assert lesson(PROMPTS[0], "longest")["messages"][-1] == {"role": "assistant", "content": "longest"}


def test_without_a_check_the_first_whole_answer_is_learnt() -> None:
    chosen = choose(PROMPTS, {PROMPTS[2].key: answers("one", "two", cut=1)}, AnyAnswer())
    assert chosen.best == {PROMPTS[2].key: "one"}


def test_a_program_judges() -> None:
    code = "import sys, json\nfor line in sys.stdin: print(len(json.loads(line)['answer']) - 2)"
    scores = Program(f'{sys.executable} -c "{code}"').scores([(PROMPTS[0], "é"), (PROMPTS[1], "three")])
    assert scores == [-1, 3]


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print(1)", "1 numbers for 2 answers"),
        ("print('yes no')", "line 1 of its input it wrote 'yes'"),
        ("print('1 nan')", "finite ones: for line 2"),
        ("raise SystemExit('broken')", "broken"),
    ],
)
def test_a_program_that_does_not_judge(code: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Program(f'{sys.executable} -c "{code}"').scores([(PROMPTS[0], "a"), (PROMPTS[1], "b")])


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="cannot be started"):
        Program("/no/such/program").scores([(PROMPTS[0], "a")])


def test_a_row_counts_prompts_without_an_answer_as_wrong() -> None:
    given = {PROMPTS[0].key: answers("yes  sir"), PROMPTS[1].key: answers("no")}
    judge = SameAs({prompt.key: "yes sir" for prompt in PROMPTS})
    told = row("student", "m", PROMPTS, given, judge).told()
    assert told == {"name": "student", "model": "m", "right": 0.3333, "tokens_each": 6.7}
