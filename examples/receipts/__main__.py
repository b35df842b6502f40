"""Receipts to JSON: what tuning a small model on 350 receipts gains over the model as it is, and over rules.

    penny serve --data ~/penny-tuning                                             # in another terminal
    python -m examples.receipts rules sroie_labels.jsonl.gz
    python -m examples.receipts tune sroie_labels.jsonl.gz --seed 1               # prints the model's name
    python -m examples.receipts score sroie_labels.jsonl.gz --model smollm2-135m-instruct --as base
    python -m examples.receipts score sroie_labels.jsonl.gz --model ft:... --as "tuned, seed 1"

`rules` needs no server. `tune --untrained` makes the same kind of model from ten receipts with next to no
learning rate: what it scores is what the way through files, jobs and adapters costs or gives by itself.
`score` asks about the test part; `--part dev` is for choosing between models. Everything found is kept in
`results.json`. `receipt.py` says where the data come from and how they are split, `score.py` what is right.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from examples.receipts.chat import lesson, request
from examples.receipts.receipt import read_receipts
from examples.receipts.rules import careful_rules, plain_rules
from examples.receipts.score import parsed, score
from examples.results import keep
from examples.service import ask_all, connect, tune, upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.receipts.receipt import Receipt
    from examples.receipts.score import Score

RESULTS: Final = Path(__file__).with_name("results.json")
EPOCHS: Final = 1  # a second one changed the dev part by less than a point
_UNTRAINED_LINES: Final = 10  # as few as a job takes


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step."""
    asked = _arguments(arguments)
    receipts = read_receipts(asked.data)
    asked.run(asked, receipts)


def _rules(asked: argparse.Namespace, receipts: Sequence[Receipt]) -> None:
    part = [receipt for receipt in receipts if receipt.part == asked.part]
    true = [receipt.fields for receipt in part]
    for name, rules in (("plain rules", plain_rules), ("careful rules", careful_rules)):
        _tell(asked, name, score([rules(receipt) for receipt in part], true), {"receipts": len(part)})


def _tune(asked: argparse.Namespace, receipts: Sequence[Receipt]) -> None:
    client = connect()
    lessons = [lesson(receipt) for receipt in receipts if receipt.part == "train"]
    watched = [lesson(receipt) for receipt in receipts if receipt.part == "dev"]
    hyperparameters: dict[str, Any] = {"n_epochs": asked.epochs}
    if asked.untrained:
        lessons = lessons[:_UNTRAINED_LINES]
        hyperparameters = {"n_epochs": 1, "learning_rate_multiplier": 1e-6}
    tuned = tune(
        client,
        model=asked.model,
        training_file=upload(client, lessons, "receipts.jsonl"),
        validation_file=upload(client, watched, "receipts-dev.jsonl") if asked.watch else None,
        method={"type": "supervised", "supervised": {"hyperparameters": hyperparameters}},
        suffix="untrained" if asked.untrained else "receipts",
        seed=asked.seed,
    )
    row = "untrained" if asked.untrained else f"seed {asked.seed}"
    keep(asked.results, "trainings", row, {**tuned.told(), **hyperparameters, "lines": len(lessons)})
    print(tuned.name)


def _score(asked: argparse.Namespace, receipts: Sequence[Receipt]) -> None:
    client = connect()
    part = [receipt for receipt in receipts if receipt.part == asked.part]
    started_s = time.monotonic()
    answers = [one for (one,) in ask_all(client, [request(receipt, asked.model) for receipt in part])]
    seconds = time.monotonic() - started_s
    found = score([parsed(answer.text) for answer in answers], [receipt.fields for receipt in part])
    told = {"model": asked.model, "receipts": len(part), "seconds_each": round(seconds / len(part), 3)}
    _tell(asked, asked.row, found, told)


def _tell(asked: argparse.Namespace, row: str, found: Score, told: dict[str, Any]) -> None:
    fields = {
        name: {"f1": round(one.f1, 4), "exact": round(one.exact, 4)} for name, one in found.fields.items()
    }
    values = {**told, "f1": round(found.f1, 4), "valid": round(found.valid, 4), "fields": fields}
    keep(asked.results, asked.part, row, values)
    shares = ", ".join(f"{name} {one.f1:.1%}" for name, one in found.fields.items())
    print(f"{row} ({asked.part}): {shares}; mean F1 {found.f1:.1%}, valid JSON {found.valid:.1%}")


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.receipts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables are kept")
    steps = parser.add_subparsers(required=True)
    for name, run in (("rules", _rules), ("tune", _tune), ("score", _score)):
        step = steps.add_parser(name)
        step.set_defaults(run=run)
        step.add_argument("data", type=Path, help="receipts with their fields, JSON lines")
        if name != "tune":
            step.add_argument("--part", choices=("train", "dev", "test"), default="test")
        if name != "rules":
            step.add_argument("--model", default="smollm2-135m-instruct", help="the model asked or tuned")
        if name == "tune":
            step.add_argument("--seed", type=int, default=1)
            step.add_argument("--epochs", type=int, default=EPOCHS)
            step.add_argument("--untrained", action="store_true", help="with next to no learning rate")
            step.add_argument("--watch", action="store_true", help="the dev part's loss; a third slower")
        if name == "score":
            step.add_argument("--as", dest="row", required=True, help="the row of the table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
