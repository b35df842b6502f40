"""The section on batches in `docs/benchmarks.md`, rendered from `results/batch.json`."""

from __future__ import annotations

from typing import Any, Final

from benchmarks.samples import figure_of

GOAL: Final = 0.95
GOAL_LINES: Final = 2000
_TITLES: Final = {
    "engine": "the bare engine, 32 at a time",
    "batch": "a batch",
    "streams": "32 parallel streams over HTTP",
    "alone": "one by one over HTTP",
}


def section(report: dict[str, Any]) -> list[str]:
    """Lines of the section: a row for each way, and how far the batch is from the engine."""
    rounds: list[dict[str, float]] = report["rounds"]
    figures = {name: figure_of([each[name] for each in rounds]) for name in _TITLES}
    engine = figures["engine"].median
    share = figures["batch"].median / engine
    machine = report["machine"]
    rows = [
        f"| {title} | {figures[name].median:.1f} ({figures[name].low:.1f}-{figures[name].high:.1f}) | "
        f"{figures[name].median / engine:.2f} |"
        for name, title in _TITLES.items()
    ]
    verdict = "met" if share >= GOAL else f"missed ({share:.2f})"
    if report["lines"] < GOAL_LINES:
        verdict = f"not judged, it is for {GOAL_LINES:,} lines"
    return [
        "## Batches",
        "",
        f"{report['lines']:,} short chats of SmolLM2-135M-Instruct Q4_1, {report['max_tokens']} tokens each.",
        f"Median (lowest-highest); rounds: {len(rounds)}; {machine['date']}, on "
        f"{machine['cores']} cores of {machine['processor']};",
        "`python -m benchmarks.batch` repeats it. A batch's time runs from its creation to its files.",
        "",
        "| way | requests/s | of the engine's |",
        "|---|---:|---:|",
        *rows,
        "",
        f"Goal: a batch reaches {GOAL:.2f} of the bare engine: {verdict}.",
    ]
