"""The section on long contexts in `docs/benchmarks.md`, rendered from `results/context.json`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.samples import Figure, figure_of

if TYPE_CHECKING:
    from collections.abc import Sequence

TITLE = "## Cost against context"
_HEAD = [
    "| tokens of context | decode, tokens/s | ms a token | of the bytes' streaming read | prompt, tokens/s |",
    "|---:|---:|---:|---:|---:|",
]


def section(report: dict[str, Any]) -> list[str]:
    """Lines of the section: a row per depth, and a sentence on the longest run."""
    rounds: list[list[dict[str, float]]] = report["contexts"]
    depths = [[each[index] for each in rounds] for index in range(len(rounds[0]))] if rounds else []
    machine = report["machine"]
    lines = [
        TITLE,
        "",
        "One stream of SmolLM2-135M-Instruct Q4_1, decoding behind so many tokens and reading 512 there.",
        "A step must read the weights and all keys and values: the share is of the time that a plain",
        "streaming read of them takes. Median (lowest-highest) of "
        f"{_rounds(len(rounds))}, {machine['date']}, on",
        f"{machine['cores']} cores of {machine['processor']}; `make bench-context` repeats it.",
        "",
        *_HEAD,
        *(_row(samples) for samples in depths),
    ]
    return [*lines, "", *_longest(report["longest"])]


def _row(samples: Sequence[dict[str, float]]) -> str:
    def figure(name: str) -> Figure:
        return figure_of([sample[name] for sample in samples])

    cells = [
        f"{samples[0]['context']:,}",
        _spread(figure("decode_tokens_per_second")),
        f"{figure('decode_ms').median:.2f}",
        f"{figure('decode_bound').median:.0%}",
        _spread(figure("prompt_tokens_per_second")),
    ]
    return f"| {' | '.join(cells)} |"


def _longest(samples: Sequence[dict[str, float]]) -> list[str]:
    if not samples:
        return []

    def told(name: str) -> str:
        value = figure_of([sample[name] for sample in samples]).median
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"

    return [
        f"A prompt of {samples[0]['prompt_tokens']:,} tokens through the whole engine, on a model of random",
        "weights (4 layers, width 256) whose positions are scaled for it: "
        f"{told('prompt_seconds')} s to the first token,",
        f"then {told('decode_ms')} ms a token; {told('kv_mib')} MiB of keys and values, "
        f"{told('resident_mib')} MiB resident at the peak ({_rounds(len(samples))}).",
        "",
    ]


def _rounds(count: int) -> str:
    return f"{count} round" if count == 1 else f"{count} rounds"


def _spread(figure: Figure) -> str:
    return f"{figure.median:,.0f} ({figure.low:,.0f}-{figure.high:,.0f})"
