"""How right an answer is: each field is the same as the true one after normalisation, or it is wrong.

Normalised: of company, date and address only letters and digits count, in one case; of a total the number,
to two places. A field is found if it is not empty; precision is right / found, recall right / present, F1
their harmonic mean. `exact` counts what is right to the letter, which SROIE's own scorer asks.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from examples.receipts.receipt import FIELDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldScore:
    """Shares between 0 and 1."""

    f1: float
    exact: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """`fields` by name; `valid` is the share of answers that are JSON of the schema."""

    fields: dict[str, FieldScore]
    valid: float

    @property
    def f1(self) -> float:
        """The mean over the fields."""
        return sum(score.f1 for score in self.fields.values()) / len(self.fields)


def parsed(answer: str) -> dict[str, str] | None:
    """The fields of an answer; None if it is not an object of exactly the four texts."""
    try:
        found = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(found, dict) or set(found) != set(FIELDS):
        return None
    return found if all(isinstance(value, str) for value in found.values()) else None


def score(found: Sequence[Mapping[str, str] | None], true: Sequence[Mapping[str, str]]) -> Score:
    """`found` in the order of `true`; None is an answer that was not valid."""
    answers = [answer or dict.fromkeys(FIELDS, "") for answer in found]
    pairs = list(zip(answers, true, strict=True))
    return Score(
        fields={name: _field([(one[name], other[name]) for one, other in pairs], name) for name in FIELDS},
        valid=sum(answer is not None for answer in found) / len(found),
    )


def normal(value: str, field: str) -> str:
    """What two writings of the same have in common."""
    if field == "total":
        numbers = re.findall(r"-?\d[\d,]*\.?\d*", value)
        return str(Decimal(numbers[-1].replace(",", "")).quantize(Decimal("0.01"))) if numbers else ""
    return "".join(c for c in unicodedata.normalize("NFKC", value).casefold() if c.isalnum())


def _field(pairs: Sequence[tuple[str, str]], field: str) -> FieldScore:
    normals = [(normal(one, field), normal(other, field)) for one, other in pairs]
    right = sum(one == other != "" for one, other in normals)
    num_found, num_present = sum(one != "" for one, _ in normals), sum(other != "" for _, other in normals)
    exact = sum(one == other != "" for one, other in pairs)
    return FieldScore(
        f1=2 * right / (num_found + num_present) if num_found + num_present else 0.0,
        exact=exact / num_present if num_present else 0.0,
    )
