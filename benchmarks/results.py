"""The recorded samples, in one JSON file that grows sample by sample.

Every sample is written as soon as it is measured, so a run that was cut off goes on where it stopped; a row's
date and machine are those of its last sample.
"""

from __future__ import annotations

import json
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.machine import describe_machine
from benchmarks.samples import Sample

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.contenders import Contender
    from benchmarks.row import Row

FORMAT = 2
CLEARLY_BEHIND = 0.85  # of the best configuration of the same engine
SETTLED = 2  # samples after which a configuration may be called that


class Results:
    """What the file at `path` holds; without a path nothing is kept beyond the run.

    `order` are the keys of rows in the order of the tables; other rows follow.
    """

    def __init__(self, path: Path | None, order: Sequence[str] = ()) -> None:
        self._path = path
        self._order = order
        self.data: dict[str, Any] = {"format": FORMAT, "versions": {}, "rows": {}}
        if path is not None and path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            if stored.get("format") == FORMAT:
                self.data = stored

    def drop(self, key: str) -> None:
        """Forget a row's samples, so that it is measured anew."""
        self.data["rows"].pop(key, None)

    def count(self, row: Row, contender: Contender) -> int:
        """Samples recorded of a contender."""
        return len(self._samples(row.key, contender.label))

    def is_behind(self, row: Row, contender: Contender) -> bool:
        """Whether another configuration of this engine is clearly better: this one need not be repeated."""
        own = self._samples(row.key, contender.label)
        if len(own) < SETTLED:
            return False
        rivals = [
            self._samples(row.key, other.label)
            for other in row.contenders
            if other.family == contender.family
        ]
        medians = [median(sample.value for sample in each) for each in rivals if len(each) >= SETTLED]
        mine = median(sample.value for sample in own)
        if row.better == "higher":
            return mine < CLEARLY_BEHIND * max(medians)
        return mine * CLEARLY_BEHIND > min(medians)

    def add(self, row: Row, contender: Contender, sample: Sample) -> None:
        """Record a sample and write the file."""
        self._measured(row, contender)["samples"].append(sample.to_data())
        self.write()

    def add_failure(self, row: Row, contender: Contender, reason: str) -> None:
        """Record why a contender could not be measured and write the file."""
        self._measured(row, contender)["failure"] = reason
        self.write()

    def has_failed(self, row: Row, contender: Contender) -> bool:
        """Whether the last attempt at a contender is recorded as failed."""
        measured = self.data["rows"].get(row.key, {"measured": {}})["measured"]
        return "failure" in measured.get(contender.label, {})

    def write(self) -> None:
        """Write the file, whole or not at all."""
        if self._path is None:
            return
        rows = self.data["rows"]
        keys = [
            *(key for key in self._order if key in rows),
            *(key for key in rows if key not in self._order),
        ]
        self.data["rows"] = {key: rows[key] for key in keys}
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self.data, indent=1) + "\n", encoding="utf-8")
        partial.replace(self._path)

    def describe(self, row: Row) -> None:
        """Take over the title, unit and goals of a recorded row as they are now."""
        if row.key not in self.data["rows"]:
            return
        stored = self.data["rows"][row.key]
        stored |= {
            "title": row.title,
            "unit": row.unit,
            "better": row.better,
            "headline": row.headline,
            "goals": [goal.to_data() for goal in row.goals],
        }

    def _measured(self, row: Row, contender: Contender) -> dict[str, Any]:
        stored = self.data["rows"].setdefault(row.key, {"measured": {}})
        self.describe(row)
        stored["machine"] = describe_machine()
        new = {"family": contender.family, "samples": []}
        measured: dict[str, Any] = stored["measured"].setdefault(contender.label, new)
        measured.pop("failure", None)
        return measured

    def _samples(self, key: str, label: str) -> list[Sample]:
        measured = self.data["rows"].get(key, {"measured": {}})["measured"].get(label, {"samples": []})
        return [Sample.from_data(data) for data in measured["samples"]]
