"""Learning from a reward: right more often, and no answer was ever shown; and what a careless reward does.

    python -m examples.reward prompts --out prompts.jsonl
    penny tune prompts.jsonl --method grpo --reward "python -m examples.distill.check" \\
        --max-answer-tokens 48 --suffix right --seed 1 --data ~/penny-reward
    penny tune prompts.jsonl --method grpo --reward "python -m examples.reward.short" \\
        --max-answer-tokens 48 --suffix short --seed 1 --data ~/penny-reward
    penny serve --data ~/penny-reward                                   # now, in another terminal
    python -m examples.reward curve ftjob-... --as "right, seed 1"      # as `penny tune list` shows it
    python -m examples.reward score --model smollm2-135m-instruct --as base
    python -m examples.reward score --model ft:... --as "right, seed 1"

The task is that of `examples/distill`: a sentence of at most so many words with two given words in it, and no
word of the test in any prompt that was trained. Its checker is the reward. `short.py` is a reward that forgot
what matters. Everything found is kept in `results.json`.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from examples.distill.task import tasks
from examples.results import keep
from examples.service import ask_all, connect, jsonl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import openai

    from examples.distill.task import Task

RESULTS: Final = Path(__file__).with_name("results.json")
MEASURES: Final = ("mean_reward", "mean_answer_tokens", "kl", "spread_share", "logprob_gap")
_SEED: Final = 1  # of tasks and samples
_MAX_TOKENS: Final = 48
_SAMPLES: Final = 4  # of each task, beside the likeliest answer
_POINTS: Final = 6  # of a curve, each the mean over as many steps


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step."""
    asked = _arguments(arguments)
    asked.run(asked)


def _prompts(asked: argparse.Namespace) -> None:
    lines = [{"messages": _messages(task)} for task in tasks("train", asked.tasks, seed=_SEED)]
    asked.out.write_bytes(jsonl(lines))
    print(f"{len(lines)} prompts")


def _curve(asked: argparse.Namespace) -> None:
    client = connect()
    job = client.fine_tuning.jobs.retrieve(asked.job)
    assert job.finished_at is not None, f"{asked.job} has not ended"
    rows = list(csv.DictReader(io.StringIO(client.files.content(job.result_files[0]).text)))
    keep(asked.results, "curves", asked.row, {"points": points(rows)})
    told = {
        "model": job.fine_tuned_model,
        "minutes": round((job.finished_at - job.created_at) / 60, 2),
        "trained_tokens": job.trained_tokens,
        "steps": len(rows),
    }
    keep(asked.results, "trainings", asked.row, told)
    print(job.fine_tuned_model)


def points(rows: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """A few means of a metrics file: of the steps up to `step` behind those of the point before."""
    size = -(-len(rows) // _POINTS)
    told = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        point: dict[str, Any] = {"step": int(part[-1]["step"])}
        for name in MEASURES:
            known = [float(row[name]) for row in part if row[name]]
            point[name] = round(sum(known) / len(known), 4) if known else None
        told.append(point)
    return told


def _score(asked: argparse.Namespace) -> None:
    given, client = tasks("test", asked.tasks, seed=_SEED), connect()
    likeliest, tokens = _right(client, asked.model, given, temperature=0, samples=1)
    sampled, _ = _right(client, asked.model, given, temperature=1, samples=_SAMPLES)
    told = {
        "model": asked.model,
        "tasks": len(given),
        "right": round(likeliest, 4),
        "right_sampled": round(sampled, 4),
        "tokens_each": round(tokens, 1),
    }
    keep(asked.results, "test", asked.row, told)
    print(
        f"{asked.row}: {100 * likeliest:.1f} % right, {100 * sampled:.1f} % of samples, {tokens:.1f} tokens"
    )


def _right(
    client: openai.OpenAI, model: str, given: Sequence[Task], *, temperature: float, samples: int
) -> tuple[float, float]:
    """The share of all answers that are right, and their mean length in tokens."""
    requests = [
        {
            "model": model,
            "messages": _messages(task),
            "temperature": temperature,
            "n": samples,
            "seed": _SEED,
            "max_completion_tokens": _MAX_TOKENS,
        }
        for task in given
    ]
    answers = ask_all(client, requests)
    all_of_them = [(task, one) for task, group in zip(given, answers, strict=True) for one in group]
    right = sum(task.check(one.text) for task, one in all_of_them)
    tokens = sum(one.completion_tokens for _, one in all_of_them)
    return right / len(all_of_them), tokens / len(all_of_them)


def _messages(task: Task) -> list[dict[str, str]]:
    return [{"role": "user", "content": task.prompt}]


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.reward",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables are kept")
    steps = parser.add_subparsers(required=True)
    for name, run in (("prompts", _prompts), ("curve", _curve), ("score", _score)):
        step = steps.add_parser(name)
        step.set_defaults(run=run)
        if name == "prompts":
            step.add_argument("--out", type=Path, required=True)
            step.add_argument("--tasks", type=int, default=480)
            continue
        step.add_argument("--as", dest="row", required=True, help="the row of the table")
        if name == "curve":
            step.add_argument("job", help="the id of the job")
        else:
            step.add_argument("--model", required=True, help="the model asked")
            step.add_argument("--tasks", type=int, default=300)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
