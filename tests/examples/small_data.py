"""Small files of the examples' kinds of data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    """One JSON object per line."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def box(x: int, y: int, text: str) -> list[Any]:
    """A printed line ten pixels high whose left upper corner is at (x, y)."""
    return [x, y, x + 50, y, x + 50, y + 10, x, y + 10, text]


def receipt_entry(number: int) -> dict[str, Any]:
    """A receipt with every field, its total beside the word."""
    lines = [
        box(0, 0, f"SHOP {number} SDN BHD"),
        box(0, 20, f"{number} JALAN ABC"),
        box(0, 40, "81100 JOHOR"),
        box(0, 60, "CASH"),
        box(90, 61, "50.00"),
        box(0, 80, "TOTAL"),
        box(90, 81, f"{number}.50"),
        box(0, 100, "12/03/2018 18:00"),
    ]
    fields = {
        "company": f"SHOP {number} SDN BHD",
        "date": "12/03/2018",
        "address": f"{number} JALAN ABC, 81100 JOHOR",
        "total": f"{number}.50",
    }
    return {"id": str(number), "fields": fields, "lines": lines}


def write_receipts(path: Path, count: int) -> Path:
    """So many different ones."""
    return write_lines(path, [receipt_entry(number) for number in range(1, count + 1)])


def write_headlines(path: Path, count: int) -> Path:
    """So many different ones, up and down in turns."""
    frame = "Q: gold {} {} dollars in early trade\nA:"
    moves = (("climbs", "up"), ("falls", "down"))
    lines = [
        {"prompt": frame.format(moves[i % 2][0], i), "answer": moves[i % 2][1], "id": str(i)}
        for i in range(count)
    ]
    return write_lines(path, lines)
