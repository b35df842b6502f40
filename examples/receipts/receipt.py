"""Receipts with their true fields: read, laid out as rows of text, split once and for all.

The data are those of ICDAR 2019's SROIE challenge (CC-BY-4.0): scanned receipts of Malaysian shops, the text
and place of every printed line, and four fields typed by people. One JSON object per line, gzipped or not:
`{"id": "001", "fields": {"company", "date", "address", "total"}, "lines": [[x1, y1, ..., x4, y4, "text"]]}`,
the corners in pixels. github.com/zzzDavid/ICDAR-2019-SROIE has the same as `data/box` and `data/key`.

A receipt's place is decided by a hash of its text, so that two copies of a receipt are never on both sides.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

Part = Literal["train", "dev", "test"]
FIELDS: Final = ("company", "date", "address", "total")
_SHARES: Final = 1000  # of the hash: 250 for testing, 80 for choices, the rest for training
_TEST: Final = 250
_DEV: Final = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`rows` are the printed rows from top to bottom; a field that is not printed is empty."""

    id: str
    rows: tuple[str, ...]
    fields: dict[str, str]

    @property
    def text(self) -> str:
        return "\n".join(self.rows)

    @property
    def part(self) -> Part:
        share = int.from_bytes(hashlib.sha256(self.text.encode()).digest()[:8]) % _SHARES
        if share < _TEST:
            return "test"
        return "dev" if share < _TEST + _DEV else "train"


def read_receipts(path: Path) -> list[Receipt]:
    """Every receipt of the file, each text once, in the file's order."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    found: dict[str, Receipt] = {}
    for line in text.splitlines():
        receipt = _receipt(json.loads(line))
        found.setdefault(receipt.text, receipt)
    return list(found.values())


def _receipt(entry: dict[str, Any]) -> Receipt:
    fields = {name: entry["fields"].get(name) or "" for name in FIELDS}
    return Receipt(id=entry["id"], rows=tuple(_rows(entry["lines"])), fields=fields)


def _rows(lines: Sequence[Sequence[Any]]) -> list[str]:
    """Boxes whose middles are at the same height stand in one row: a word and its price, say."""
    boxes = [(min(line[1:8:2]), max(line[1:8:2]), min(line[0:8:2]), str(line[8])) for line in lines]
    rows: list[list[tuple[float, float, float, str]]] = []
    for box in sorted(boxes, key=lambda box: (box[0] + box[1], box[2])):
        middle = (box[0] + box[1]) / 2
        if rows and rows[-1][0][0] < middle < rows[-1][0][1]:
            rows[-1].append(box)
        else:
            rows.append([box])
    return [" ".join(box[3] for box in sorted(row, key=lambda box: box[2])) for row in rows]
