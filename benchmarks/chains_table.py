"""The section on conversations in `docs/benchmarks.md`, rendered from `results/chains.json`."""

from __future__ import annotations

from statistics import median
from typing import Any, Final

from benchmarks.samples import figure_of

_SHOWN: Final = (1, 2, 5, 10)


def section(report: dict[str, Any]) -> list[str]:
    """Lines of the section: a row for some turns, and for the last one without a cache."""
    told: list[dict[str, Any]] = report["conversations"]
    rows = [_row(f"turn {turn}", [each["turns"][turn - 1] for each in told]) for turn in _SHOWN]
    cold = _row(f"turn {_SHOWN[-1]}, nothing cached", [each["cold"] for each in told])
    machine = report["machine"]
    return [
        "## Conversations by `previous_response_id`",
        "",
        f"Ten turns with SmolLM2-135M-Instruct Q4_1, {report['max_tokens']} tokens an answer, each durably",
        "stored; tokens are medians, times median (lowest-highest); conversations: "
        f"{len(told)}, one at a time; {machine['date']},",
        f"on {machine['cores']} cores of {machine['processor']}; `python -m benchmarks.chains` repeats it.",
        "",
        "| turn | tokens read | computed | first text, ms |",
        "|---|---:|---:|---:|",
        *rows,
        cold,
    ]


def _row(title: str, turns: list[dict[str, Any]]) -> str:
    read = median(turn["prompt_tokens"] for turn in turns)
    computed = median(turn["prompt_tokens"] - turn["cached_tokens"] for turn in turns)
    ttft_ms = figure_of([1000 * turn["ttft_s"] for turn in turns])
    times = f"{ttft_ms.median:.0f} ({ttft_ms.low:.0f}-{ttft_ms.high:.0f})"
    return f"| {title} | {read:.0f} | {computed:.0f} | {times} |"
