"""The section on tuning in `docs/benchmarks.md`, rendered from `results/tuning.json`."""

from __future__ import annotations

import statistics
from typing import Any, Final

GOAL: Final = 2.0
"""How many times the useful tokens per second of the plain loop, with the same last loss."""
_STEPS_THAT_SETTLE: Final = 20


def section(report: dict[str, Any]) -> list[str]:
    """A row for each loop, and whether the goal is met."""
    contenders: dict[str, Any] = report["contenders"]
    machine, share = report["machine"], report["learnt_tokens"] / report["tokens"]
    rows, medians = [], []
    for name, told in contenders.items():
        speeds = told["useful_tokens_per_cpu_s"][1:]  # the first step allocates
        wall = statistics.median(told["useful_tokens_per_s"][1:])
        medians.append(statistics.median(speeds))
        spread = f"{medians[-1]:,.0f} ({min(speeds):,.0f}-{max(speeds):,.0f})"
        losses = " | ".join(f"{told[key]:.4f}" for key in ("first_loss", "last_loss", "held_out_loss"))
        rows.append(f"| {name} | {spread} | {wall:,.0f} | {losses} |")
    ratio = medians[1] / medians[0]
    verdict = "met" if ratio >= GOAL else "missed"
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    return [
        "## Tuning",
        "",
        f"{report['steps']} steps of {report['batch']} receipts ({report['tokens']:,} tokens, of which",
        f"{share:.0%} are learnt), a rank-16 adapter of {report['model']}, the same first values,",
        "batches and learning rates; the loops take turns step by step. Useful tokens are those that are no",
        f"padding. Threads: {report['threads']}; {machine['processor']}, {machine['date']}; {versions}.",
        "`python -m benchmarks.tuning_speed` repeats it.",
        "",
        "| loop | useful tokens by processor second | by second | first loss | last loss | held-out loss |",
        "|---|---:|---:|---:|---:|---:|",
        *rows,
        "",
        f"Goal: at least {GOAL:g} times the plain loop: {verdict}, {ratio:.1f}x.",
        *_caution(report["steps"]),
    ]


def _caution(steps: int) -> list[str]:
    if steps >= _STEPS_THAT_SETTLE:
        return []
    return [
        f"The machine did other work meanwhile, and {steps} steps are too few to show that both end at the",
        "same loss.",
    ]
