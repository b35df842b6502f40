"""A classifier from 500 labelled lines: accuracy, minutes and money, before and after.

    penny serve --data ~/penny-tuning                                             # in another terminal
    python -m examples.classify words train_headlines.jsonl.gz                    # naive Bayes; no server
    python -m examples.classify tune train_headlines.jsonl.gz --seed 1            # prints the model's name
    python -m examples.classify score train_headlines.jsonl.gz --model smollm2-135m-instruct --as base
    python -m examples.classify score train_headlines.jsonl.gz --model ft:... --as "tuned, seed 1"

What does a headline say of the price of gold: up, down, neutral (it stayed), none (nothing)? Every model is
asked under a strict schema that allows these four words alone, so a wrong answer is a wrong word, never a
wrong form. Everything found is kept in `results.json`. `headline.py` says where the data come from.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from examples.classify.headline import LABELS, read_headlines, split
from examples.classify.word_counts import WordCounts
from examples.results import keep
from examples.service import ask_all, connect, tune, upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.classify.headline import Headline, Split

RESULTS: Final = Path(__file__).with_name("results.json")
EPOCHS: Final = 3
DOLLARS_PER_HOUR: Final = 0.08  # a rented machine of two cores; on a laptop it is the power, much less
_SYSTEM: Final = (
    "Does the headline say that the price of gold went up, went down or stayed neutral? "
    "If it says nothing of it, the answer is none. Answer as JSON."
)
_SCHEMA: Final = {
    "type": "object",
    "properties": {"price": {"type": "string", "enum": list(LABELS)}},
    "required": ["price"],
    "additionalProperties": False,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one step."""
    asked = _arguments(arguments)
    sizes = dict(zip(("train", "dev", "test"), asked.sizes, strict=True))
    asked.run(asked, split(read_headlines(asked.data), **sizes))


def _words(asked: argparse.Namespace, parts: Split) -> None:
    counts = WordCounts(parts.train)
    part: Sequence[Headline] = getattr(parts, asked.part)
    commonest = Counter(headline.label for headline in parts.train).most_common(1)[0][0]
    _tell(asked, "always the commonest", part, [commonest] * len(part), {})
    _tell(asked, "naive Bayes", part, [counts.label(headline.text) for headline in part], {})


def _tune(asked: argparse.Namespace, parts: Split) -> None:
    client = connect()
    watched = [_lesson(one) for one in parts.dev]
    tuned = tune(
        client,
        model=asked.model,
        training_file=upload(client, [_lesson(one) for one in parts.train], "headlines.jsonl"),
        validation_file=upload(client, watched, "headlines-dev.jsonl") if asked.watch else None,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": asked.epochs}}},
        suffix="headlines",
        seed=asked.seed,
    )
    dollars = round(tuned.minutes / 60 * DOLLARS_PER_HOUR, 4)
    told = {"lines": len(parts.train), "n_epochs": asked.epochs, "dollars": dollars}
    keep(asked.results, "trainings", f"seed {asked.seed}", {**tuned.told(), **told})
    print(tuned.name)


def _score(asked: argparse.Namespace, parts: Split) -> None:
    part: Sequence[Headline] = getattr(parts, asked.part)
    started_s = time.monotonic()
    answers = ask_all(connect(), [_request(one, asked.model) for one in part])
    seconds = time.monotonic() - started_s
    labels = [json.loads(answer.text)["price"] for (answer,) in answers]
    _tell(
        asked, asked.row, part, labels, {"model": asked.model, "seconds_each": round(seconds / len(part), 3)}
    )


def _tell(
    asked: argparse.Namespace,
    row: str,
    part: Sequence[Headline],
    labels: Sequence[str],
    told: dict[str, Any],
) -> None:
    pairs = [(found, headline.label) for found, headline in zip(labels, part, strict=True)]
    accuracy = sum(found == true for found, true in pairs) / len(pairs)
    scores = {"accuracy": round(accuracy, 4), "macro_f1": round(_f1(pairs), 4)}
    keep(asked.results, asked.part, row, {**told, "headlines": len(part), **scores})
    print(f"{row} ({asked.part}): accuracy {accuracy:.1%}, mean F1 of the labels {_f1(pairs):.1%}")


def _f1(pairs: Sequence[tuple[str, str]]) -> float:
    """The mean over the labels that occur."""
    scores = []
    for label in LABELS:
        said, true = sum(found == label for found, _ in pairs), sum(label == other for _, other in pairs)
        right = sum(found == label == other for found, other in pairs)
        if said + true:
            scores.append(2 * right / (said + true))
    return sum(scores) / len(scores)


def _question(headline: Headline) -> list[dict[str, str]]:
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": headline.text}]


def _lesson(headline: Headline) -> dict[str, Any]:
    answer = json.dumps({"price": headline.label}, separators=(",", ":"))
    return {"messages": [*_question(headline), {"role": "assistant", "content": answer}]}


def _request(headline: Headline, model: str) -> dict[str, Any]:
    schema = {"name": "price", "strict": True, "schema": _SCHEMA}
    return {
        "model": model,
        "messages": _question(headline),
        "temperature": 0,
        "max_completion_tokens": 20,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.classify",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the tables are kept")
    parser.add_argument(
        "--sizes",
        type=int,
        nargs=3,
        default=(500, 200, 1000),
        help="lines to learn, to choose by, to test",
    )
    steps = parser.add_subparsers(required=True)
    for name, run in (("words", _words), ("tune", _tune), ("score", _score)):
        step = steps.add_parser(name)
        step.set_defaults(run=run)
        step.add_argument("data", type=Path, help="headlines with their labels, JSON lines")
        if name != "tune":
            step.add_argument("--part", choices=("dev", "test"), default="test")
        if name != "words":
            step.add_argument("--model", default="smollm2-135m-instruct", help="the model asked or tuned")
        if name == "tune":
            step.add_argument("--seed", type=int, default=1)
            step.add_argument("--epochs", type=int, default=EPOCHS)
            step.add_argument("--watch", action="store_true", help="the dev part's loss; a third slower")
        if name == "score":
            step.add_argument("--as", dest="row", required=True, help="the row of the table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
