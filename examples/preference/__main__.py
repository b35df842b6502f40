"""A preference taught by DPO: answers that are one short paragraph. Win rate, length and KL on other prompts.

    penny serve --data ~/penny-tuning                                       # in another terminal
    python -m examples.preference pairs prompts.jsonl.gz --out pairs.jsonl  # the base's own answers, judged
    python -m examples.preference tune pairs.jsonl --seed 1                 # prints the model's name
    python -m examples.preference score prompts.jsonl.gz --model ft:... --as "tuned, seed 1"

Nobody writes an answer: the model is sampled several times for each prompt, and `judge.py` says which of its
answers is the best and which the worst. DPO moves the model from the worst towards the best ones, so what it
learns was within it. `score` compares with the base on other prompts, both at temperature 0. Everything found
is kept in `results.json`. `prompt.py` says where prompts come from and how they are split.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from examples.preference.divergence import divergence
from examples.preference.judge import is_fit, num_words, prefer
from examples.preference.prompt import read_prompts, split
from examples.results import keep
from examples.service import ask_all, connect, jsonl, tune, upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.service import Answer

RESULTS: Final = Path(__file__).with_name("results.json")
BASE: Final = "smollm2-135m-instruct"
BETA: Final = 0.1
_SEED: Final = 1  # of every sample


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step."""
    asked = _arguments(arguments)
    asked.run(asked)


def _pairs(asked: argparse.Namespace) -> None:
    prompts, _ = split(read_prompts(asked.prompts))
    requests = [_request(asked, prompt, asked.base, n=asked.samples, temperature=1.0) for prompt in prompts]
    lines = []
    for prompt, answers in zip(prompts, ask_all(connect(), requests), strict=True):
        best, worst = answers[0], answers[0]
        for answer in answers[1:]:
            best = answer if prefer(answer, best, prompt) == "first" else best
            worst = answer if prefer(worst, answer, prompt) == "first" else worst
        if prefer(best, worst, prompt) == "first":
            lines.append(_pair(prompt, best, worst))
    asked.out.write_bytes(jsonl(lines))
    print(f"{len(lines)} pairs from {len(prompts)} prompts")


def _tune(asked: argparse.Namespace) -> None:
    client = connect()
    lines = [json.loads(line) for line in asked.pairs.read_text(encoding="utf-8").splitlines()]
    hyperparameters = {"n_epochs": asked.epochs, "beta": asked.beta}
    tuned = tune(
        client,
        model=asked.base,
        training_file=upload(client, lines, asked.pairs.name),
        method={"type": "dpo", "dpo": {"hyperparameters": hyperparameters}},
        suffix="short",
        seed=asked.seed,
    )
    told = {**tuned.told(), **hyperparameters, "pairs": len(lines)}
    keep(asked.results, "trainings", f"seed {asked.seed}", told)
    print(tuned.name)


def _score(asked: argparse.Namespace) -> None:
    client = connect()
    _, prompts = split(read_prompts(asked.prompts))
    greedy = {
        name: [one for (one,) in ask_all(client, [_request(asked, p, name, temperature=0) for p in prompts])]
        for name in (asked.model, asked.base)
    }
    pairs = zip(greedy[asked.model], greedy[asked.base], prompts, strict=True)
    verdicts = Counter(prefer(one, other, prompt) for one, other, prompt in pairs)
    sampled = ask_all(client, [_request(asked, p, asked.model, temperature=1.0) for p in prompts])
    texts = [one.text for (one,) in sampled]
    far = divergence(client, tuned=asked.model, base=asked.base, prompts=prompts, answers=texts)
    told = {
        "model": asked.model,
        "prompts": len(prompts),
        "win_rate": round((verdicts["first"] + verdicts["tie"] / 2) / len(prompts), 4),
        "wins": verdicts["first"],
        "ties": verdicts["tie"],
        "losses": verdicts["second"],
        "tuned": _shape(greedy[asked.model], prompts),
        "base": _shape(greedy[asked.base], prompts),
        "kl_per_answer": round(far.per_answer, 3),
        "kl_per_token": round(far.per_token, 4),
    }
    keep(asked.results, "test", asked.row, told)
    print(json.dumps(told, indent=1))


def _shape(answers: Sequence[Answer], prompts: Sequence[str]) -> dict[str, Any]:
    """How long answers are and how many have the form that is wanted."""
    fit = [is_fit(answer, prompt) for answer, prompt in zip(answers, prompts, strict=True)]
    return {
        "fit": round(sum(fit) / len(fit), 4),
        "ended": round(sum(answer.finish_reason == "stop" for answer in answers) / len(answers), 4),
        "median_words": statistics.median(num_words(answer) for answer in answers),
    }


def _pair(prompt: str, best: Answer, worst: Answer) -> dict[str, Any]:
    return {
        "input": {"messages": [{"role": "user", "content": prompt}]},
        "preferred_output": [{"role": "assistant", "content": best.text.strip()}],
        "non_preferred_output": [{"role": "assistant", "content": worst.text.strip()}],
    }


def _request(
    asked: argparse.Namespace, prompt: str, model: str, *, temperature: float, n: int = 1
) -> dict[str, Any]:
    return {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": temperature,
        "n": n,
        "seed": _SEED,
        "max_completion_tokens": asked.max_tokens,
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.preference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables are kept")
    parser.add_argument("--base", default=BASE, help="the model to be tuned")
    parser.add_argument("--max-tokens", type=int, default=200, help="most tokens of an answer")
    steps = parser.add_subparsers(required=True)
    for name, run in (("pairs", _pairs), ("tune", _tune), ("score", _score)):
        step = steps.add_parser(name)
        step.set_defaults(run=run)
        if name == "tune":
            step.add_argument("pairs", type=Path)
            step.add_argument("--seed", type=int, default=1)
            step.add_argument("--epochs", type=int, default=1)
            step.add_argument("--beta", type=float, default=BETA)
        else:
            step.add_argument("prompts", type=Path, nargs="+", help="files of prompts, JSON lines")
        if name == "pairs":
            step.add_argument("--out", type=Path, required=True)
            step.add_argument("--samples", type=int, default=6, help="answers of each prompt")
        if name == "score":
            step.add_argument("--model", required=True)
            step.add_argument("--as", dest="row", required=True, help="the row of the table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
