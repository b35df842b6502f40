"""`step_metrics.csv`: the result file of a job, by OpenAI's column names; what was not measured is empty."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

METRICS_FILE: Final = "step_metrics.csv"
_COLUMNS: Final = (
    "step",
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "train_mean_token_accuracy",
)
_OF_PAIRS: Final = ("reward_margin", "reward_accuracy")


def metrics_csv(rows: Iterable[Mapping[str, float]], *, of_pairs: bool) -> bytes:
    """`train_accuracy` is the older name of the mean token accuracy, which files of old have."""
    text = io.StringIO()
    columns = _COLUMNS + (_OF_PAIRS if of_pairs else ())
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({**row, "train_accuracy": row["train_mean_token_accuracy"]})
    return text.getvalue().encode()
