"""What both sides are asked to do, and one measured run of it.

The three figures are the ones people compare engines by: reading a prompt, writing for one reader, and
writing for many at once. Both sides get the same token counts and greedy sampling.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import median

PROMPT_TOKENS = 512
DECODE_TOKENS = 128
STREAMS = 32
STREAM_PROMPT_TOKENS = 128  # read by each stream before its decode is timed
STREAM_DECODE_TOKENS = 64
METRICS = ("prompt", "decode", "streams")

METRIC_LABELS = {
    "prompt": f"prompt of {PROMPT_TOKENS}",
    "decode": "decode, one stream",
    "streams": f"decode, {STREAMS} streams",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Tokens per second of one run of the workload; `streams` is the sum over all streams."""

    prompt: float
    decode: float
    streams: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Tokens per second over several runs: the median, the slowest, the fastest."""

    median: float
    low: float
    high: float


def summarise(runs: list[Run]) -> dict[str, dict[str, float]]:
    """Each metric's `Figure` as plain data, rounded to a tenth of a token per second."""
    summary = {}
    for metric in METRICS:
        values = sorted(getattr(run, metric) for run in runs)
        figure = Figure(median=round(median(values), 1), low=round(values[0], 1), high=round(values[-1], 1))
        summary[metric] = asdict(figure)
    return summary
