"""`step_metrics.csv`: the result file of a job, by OpenAI's column names; what was not measured is empty."""

from __future__ import annotations

import csv
import io
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pennyweight.tune.plan import Method

METRICS_FILE: Final = "step_metrics.csv"
_COLUMNS: Final = (
    "step",
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "train_mean_token_accuracy",
)
_FURTHER: Final[Mapping[Method, tuple[str, ...]]] = MappingProxyType(
    {
        "supervised": (),
        "dpo": ("reward_margin", "reward_accuracy"),
        "grpo": ("mean_reward", "spread_share", "mean_answer_tokens", "kl", "logprob_gap"),
    }
)


def metrics_csv(rows: Iterable[Mapping[str, float]], *, method: Method) -> bytes:
    """`train_accuracy` is the older name of the mean token accuracy, which files of old have."""
    text = io.StringIO()
    columns = _COLUMNS + _FURTHER[method]
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "train_accuracy": row.get("train_mean_token_accuracy", "")})
    return text.getvalue().encode()
