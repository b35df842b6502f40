"""Distillation by sequence: many samples and a checker teach the model to be right at the first attempt.

    penny serve --data ~/penny-tuning                                   # in another terminal
    python -m examples.distill teach --out lessons.jsonl                # 16 samples a prompt; the right ones
    python -m examples.distill tune lessons.jsonl --seed 1              # prints the student's name
    python -m examples.distill score --model smollm2-135m-instruct --as "student before"
    python -m examples.distill score --model smollm2-135m-instruct --samples 16 --as teacher
    python -m examples.distill score --model ft:... --as "student, seed 1"

The teacher is the very model, asked sixteen times: the checker takes an answer that is right, if there is
one. That is dear, and it needs the checker at every question. The student learns those answers and is asked
once, without it. `task.py` is the task and its checker; no word of the test was in a prompt that was learnt.
`penny distill` does all this in one command: see `check.py`. Everything found is kept in `results.json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from examples.distill.task import Task, tasks
from examples.results import keep
from examples.service import ask_all, connect, jsonl, tune, upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.service import Answer

RESULTS: Final = Path(__file__).with_name("results.json")
EPOCHS: Final = 3
_SEED: Final = 1  # of tasks and samples
_TEMPERATURE: Final = 0.8  # of many samples; a single answer is the likeliest one
_MAX_TOKENS: Final = 48


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step."""
    asked = _arguments(arguments)
    asked.run(asked)


def _teach(asked: argparse.Namespace) -> None:
    given = tasks("train", asked.tasks, seed=_SEED)
    answers = _ask(asked, given)
    lessons = []
    for task, samples in zip(given, answers, strict=True):
        if (right := _right(task, samples)) is not None:
            lessons.append(_lesson(task, right.text.strip()))
    asked.out.write_bytes(jsonl(lessons))
    tokens = sum(one.completion_tokens for samples in answers for one in samples)
    keep(
        asked.results, "teaching", "teacher", {"tasks": len(given), "lessons": len(lessons), "tokens": tokens}
    )
    print(f"{len(lessons)} of {len(given)} tasks have a right answer; {tokens} tokens were written")


def _tune(asked: argparse.Namespace) -> None:
    client = connect()
    lines = [json.loads(line) for line in asked.lessons.read_text(encoding="utf-8").splitlines()]
    tuned = tune(
        client,
        model=asked.model,
        training_file=upload(client, lines, asked.lessons.name),
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": asked.epochs}}},
        suffix="first-time",
        seed=asked.seed,
    )
    told = {**tuned.told(), "n_epochs": asked.epochs, "lessons": len(lines)}
    keep(asked.results, "trainings", f"seed {asked.seed}", told)
    print(tuned.name)


def _score(asked: argparse.Namespace) -> None:
    given = tasks("test", asked.tasks, seed=_SEED)
    answers = _ask(asked, given)
    right = sum(_right(task, samples) is not None for task, samples in zip(given, answers, strict=True))
    tokens = sum(one.completion_tokens for samples in answers for one in samples)
    told = {
        "model": asked.model,
        "samples": asked.samples,
        "tasks": len(given),
        "right": round(right / len(given), 4),
        "tokens_each": round(tokens / len(given), 1),
    }
    keep(asked.results, "test", asked.row, told)
    print(f"{asked.row}: {right} of {len(given)} right with {told['tokens_each']} tokens each")


def _ask(asked: argparse.Namespace, given: Sequence[Task]) -> list[list[Answer]]:
    """The samples of every task; a single one is the likeliest answer."""
    requests = [
        {
            "model": asked.model,
            "messages": [{"role": "user", "content": task.prompt}],
            "temperature": _TEMPERATURE if asked.samples > 1 else 0,
            "n": asked.samples,
            "seed": _SEED,
            "max_completion_tokens": _MAX_TOKENS,
        }
        for task in given
    ]
    return ask_all(connect(), requests)


def _right(task: Task, samples: Sequence[Answer]) -> Answer | None:
    return next((answer for answer in samples if task.check(answer.text)), None)


def _lesson(task: Task, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": task.prompt}, {"role": "assistant", "content": answer}]}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.distill",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables are kept")
    steps = parser.add_subparsers(required=True)
    for name, run in (("teach", _teach), ("tune", _tune), ("score", _score)):
        step = steps.add_parser(name)
        step.set_defaults(run=run)
        step.add_argument("--model", default="smollm2-135m-instruct", help="the model asked or tuned")
        if name == "tune":
            step.add_argument("lessons", type=Path)
            step.add_argument("--seed", type=int, default=1)
            step.add_argument("--epochs", type=int, default=EPOCHS)
        else:
            num_samples, num_tasks = (16, 600) if name == "teach" else (1, 300)
            step.add_argument("--samples", type=int, default=num_samples, help="answers of each task")
            step.add_argument("--tasks", type=int, default=num_tasks)
        if name == "teach":
            step.add_argument("--out", type=Path, required=True)
        if name == "score":
            step.add_argument("--as", dest="row", required=True, help="the row of the table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
