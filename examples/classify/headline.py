"""News headlines, each with what it says of the price of gold, split by a hash of the text.

The data are the HEADLINES set of FrugalGPT (Apache-2.0, github.com/stanford-futuredata/FrugalGPT,
`data/HEADLINES/train.csv` and `test.csv`), one JSON object per line, gzipped or not:
`{"prompt": "Q: gold climbs $7.70 ...\\nA:", "answer": "up"}`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LABELS: Final = ("up", "down", "neutral", "none")
_FRAME: Final = ("Q: ", "\nA:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """`label` is one of LABELS."""

    text: str
    label: str

    @property
    def share(self) -> float:
        """Where it stands between 0 and 1, by a hash of its text in one case."""
        return int.from_bytes(hashlib.sha256(self.text.casefold().encode()).digest()[:8]) / 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`dev` is for choices, `test` for the table; no headline is in two of them."""

    train: Sequence[Headline]
    dev: Sequence[Headline]
    test: Sequence[Headline]


def read_headlines(path: Path) -> list[Headline]:
    """Every headline of the file once, whatever its case, ordered by the hash that splits them."""
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    found = {}
    for entry in map(json.loads, text.splitlines()):
        headline = entry["prompt"].removeprefix(_FRAME[0]).removesuffix(_FRAME[1])
        found[headline.casefold()] = Headline(text=headline, label=entry["answer"])
    return sorted(found.values(), key=lambda headline: headline.share)


def split(headlines: Sequence[Headline], *, train: int, dev: int, test: int) -> Split:
    """So many for each, one after the other in the order of their hashes."""
    ends = (train, train + dev, train + dev + test)
    return Split(
        train=headlines[: ends[0]], dev=headlines[ends[0] : ends[1]], test=headlines[ends[1] : ends[2]]
    )
