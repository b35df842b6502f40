"""Writes the tables of `docs/tuning.md` from what the examples measured, `examples/*/results.json`.

The page is written by hand; a table stands between `<!-- NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("tuning.md")
EXAMPLES = Path(__file__).parents[1] / "examples"
_PENDING = "Not measured yet."
_FIELDS = ("company", "date", "address", "total")


def updated(page: str) -> str:
    """`page` with today's tables."""
    for name, render in (
        ("receipts", _receipts),
        ("classify", _classify),
        ("preference", _preference),
        ("distill", _distill),
        ("reward", _reward),
        ("half_depth", _half_depth),
    ):
        path = EXAMPLES / name / "results.json"
        results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        table = f"<!-- {name} -->\n{render(results)}\n<!-- end -->"
        page, found = re.subn(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _: table, page, flags=re.DOTALL)  # noqa: B023
        assert found == 1, f"the page has no place for the table {name}"
    return page


def _receipts(results: dict[str, Any]) -> str:
    rows = results.get("test", {})
    table = [
        [
            name,
            *[_percent(row["fields"][field]["f1"]) for field in _FIELDS],
            f"**{_percent(row['f1'])}**",
            _percent(row["valid"]),
        ]
        for name, row in rows.items()
    ]
    parts = [_table(["test part", *_FIELDS, "mean F1", "valid JSON"], table)]
    if tuned := [row["f1"] for name, row in rows.items() if name.startswith("tuned")]:
        rules = rows["plain rules"]["f1"]
        gain = f"{100 * (statistics.mean(tuned) - rules):+.1f} points over the plain rules"
        parts.append(f"Mean of {_seeds(len(tuned))}: {_percent(statistics.mean(tuned))}, {gain}.")
    return "\n\n".join([*parts, _trainings(results), _measured_on(results)])


def _classify(results: dict[str, Any]) -> str:
    rows = results.get("test", {})
    table = [
        [name, f"**{_percent(row['accuracy'])}**", _percent(row["macro_f1"]), _each(row)]
        for name, row in rows.items()
    ]
    titles = ["1,000 test headlines", "accuracy", "mean F1 of the labels", "ms each"]
    return "\n\n".join([_table(titles, table), _trainings(results), _measured_on(results)])


def _preference(results: dict[str, Any]) -> str:
    table = [
        [
            name,
            f"**{_percent(row['win_rate'])}**",
            f"{row['wins']}/{row['ties']}/{row['losses']}",
            f"{row['base']['median_words']:g} -> {row['tuned']['median_words']:g}",
            f"{_percent(row['base']['fit'])} -> {_percent(row['tuned']['fit'])}",
            f"{row['kl_per_token']:.3f}",
        ]
        for name, row in results.get("test", {}).items()
    ]
    titles = ["held-out prompts", "win rate", "wins/ties/losses", "median words", "fit", "KL per token, nats"]
    return "\n\n".join([_table(titles, table), _trainings(results), _measured_on(results)])


def _distill(results: dict[str, Any]) -> str:
    rows = results.get("test", {})
    table = [
        [name, f"{row['samples']}", f"**{_percent(row['right'])}**", f"{row['tokens_each']:g}"]
        for name, row in rows.items()
    ]
    parts = [_table(["held-out tasks", "samples", "right", "tokens written each"], table)]
    students = [row["right"] for name, row in rows.items() if name.startswith("student, ")]
    if students and {"teacher", "student before"} <= rows.keys():
        before, teacher = rows["student before"]["right"], rows["teacher"]["right"]
        kept = (statistics.mean(students) - before) / (teacher - before)
        parts.append(f"Of the teacher's gain {_percent(kept)} survives (mean of {_seeds(len(students))}).")
    return "\n\n".join([*parts, _trainings(results), _measured_on(results)])


def _reward(results: dict[str, Any]) -> str:
    table = [
        [
            name,
            f"**{_percent(row['right'])}**",
            f"**{_percent(row['right_sampled'])}**",
            f"{row['tokens_each']:g}",
        ]
        for name, row in results.get("test", {}).items()
    ]
    titles = ["held-out tasks", "right, likeliest answer", "right, sampled at 1", "tokens an answer"]
    parts = [_table(titles, table)]
    for name, curve in results.get("curves", {}).items():
        rows = [
            [
                f"{point['step']}",
                f"{point['mean_reward']:.3f}",
                f"{point['mean_answer_tokens']:.1f}",
                _known(point["kl"]),
                _percent(point["spread_share"]),
                _known(point["logprob_gap"]),
            ]
            for point in curve["points"]
        ]
        titles = [f"{name}: up to step", "reward", "tokens", "KL", "prompts that taught", "gap to the engine"]
        parts.append(_table(titles, rows))
    return "\n\n".join([*parts, _trainings(results), _measured_on(results)])


def _half_depth(results: dict[str, Any]) -> str:
    rows = results.get("test", {})
    table = [
        [
            name,
            f"{row['layers']}",
            f"**{row['kl']:.3f}**",
            _percent(row["top1"]),
            f"{row['perplexity']:,.1f}",
            f"{row['teacher_perplexity']:,.1f}",
        ]
        for name, row in rows.items()
    ]
    titles = ["student", "layers", "KL, nats per token", "same favourite", "perplexity", "the teacher's"]
    speed = [
        [name, f"**{row['tokens_per_s']:.0f}**", f"{row['megabytes']:.0f}", f"{row['threads']}"]
        for name, row in results.get("speed", {}).items()
    ]
    trainings = [
        [
            name,
            f"{row['trained_tokens']:,}",
            f"{row['steps']}",
            f"{row['minutes']:.1f}",
            f"{row['cpu_minutes']:.1f}",
        ]
        for name, row in results.get("trainings", {}).items()
    ]
    parts = [
        _table(titles, table),
        _table(["written by", "tokens per second", "file, MB", "threads"], speed),
        _table(["training", "tokens", "steps", "minutes", "processor minutes"], trainings),
    ]
    return "\n\n".join([*parts, _measured_on(results)])


def _known(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _trainings(results: dict[str, Any]) -> str:
    rows = results.get("trainings", {})
    table = [
        [
            name,
            f"{row.get('n_epochs', '')}",
            f"{row['trained_tokens']:,}",
            f"{row['minutes']:.1f}",
            f"{row['dollars']:.4f}" if "dollars" in row else "",
        ]
        for name, row in rows.items()
    ]
    return _table(["training", "epochs", "tokens", "minutes", "dollars"], table)


def _measured_on(results: dict[str, Any]) -> str:
    machines = [row["machine"] for rows in results.values() for row in rows.values()]
    if not machines:
        return _PENDING
    newest = max(machines, key=lambda machine: str(machine["date"]))
    return f"Measured on {newest['processor']}, {newest['cores']} cores, until {newest['date']}."


def _table(titles: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return f"{titles[0].capitalize()}: not measured yet."
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _each(row: dict[str, Any]) -> str:
    return f"{1000 * row['seconds_each']:.0f}" if "seconds_each" in row else ""


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def main() -> None:
    """Write the page again."""
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
