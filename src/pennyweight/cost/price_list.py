"""The operator's price list: `[[prices]]` of the settings file become `Price`s, or an error.

[[prices]]
since = 2027-01-01                # optional: always; a date (midnight UTC) or a date and time
model = "smollm2-135m-instruct"   # optional: every model
kind = "completions"              # optional; or "embeddings", or "training" (`input` is for tokens trained)
input = 0.10                      # dollars per million tokens, as on every provider's page
cached_input = 0.05               # optional: as `input`
output = 0.40                     # optional: 0
batch_percent = 50                # optional: what a batch pays of it
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING

from pennyweight.cost.prices import ANY_MODEL, KINDS, Price, Prices
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pennyweight.cost.prices import Kind

_KEYS = ("since", "model", "kind", "input", "cached_input", "output", "batch_percent")
_PER_MILLION = 1_000_000  # picodollars per token in a dollar per million tokens
_MOST_DOLLARS = 1_000_000
_MOST_PERCENT = 1000


def read_prices(tables: Iterable[Mapping[str, object]]) -> Prices:
    """Raises ConfigError naming the row, the key, the value and what it may be."""
    rows: list[Price] = []
    for number, table in enumerate(tables, start=1):
        row = _Row(f"the price list, row {number}", table).price()
        if any((row.model, row.kind, row.since) == (other.model, other.kind, other.since) for other in rows):
            raise ConfigError(
                f"the price list, row {number}: another row is for the same model, kind and date; keep one"
            )
        rows.append(row)
    return Prices(own=tuple(rows))


class _Row:
    """One table, and where it stands."""

    def __init__(self, place: str, table: Mapping[str, object]) -> None:
        for key in table:
            if key not in _KEYS:
                raise ConfigError(f"{place} has an unknown key {key!r}; the keys are {', '.join(_KEYS)}")
        self._place = place
        self._table = table

    def price(self) -> Price:
        if "input" not in self._table:
            raise ConfigError(f"{self._place} has no 'input'; give dollars per million prompt tokens")
        prompt = self._money("input", 0)
        return Price(
            prompt=prompt,
            cached=self._money("cached_input", prompt),
            completion=self._money("output", 0),
            batch_percent=self._percent(),
            model=self._model(),
            kind=self._kind(),
            since=self._since(),
        )

    def _money(self, key: str, default: int) -> int:
        value = self._table.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise self._wrong(key, "a number of dollars per million tokens")
        exact = Decimal(value)
        # Not a number has no order: it must be refused before it is compared.
        if not exact.is_finite() or not 0 <= exact <= _MOST_DOLLARS or exact * _PER_MILLION % 1:
            raise self._wrong(key, f"from 0 to {_MOST_DOLLARS} with at most 6 digits behind the point")
        return int(exact * _PER_MILLION)

    def _percent(self) -> int:
        value = self._table.get("batch_percent", 50)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_PERCENT:
            raise self._wrong("batch_percent", f"a whole number from 0 to {_MOST_PERCENT}")
        return value

    def _model(self) -> str:
        value = self._table.get("model", ANY_MODEL)
        if not isinstance(value, str) or not value:
            raise self._wrong("model", "the name of a model, or left out for all")
        return value

    def _kind(self) -> Kind:
        value = self._table.get("kind", "completions")
        for kind in KINDS:
            if value == kind:
                return kind
        raise self._wrong("kind", "one of " + ", ".join(KINDS))

    def _since(self) -> int:
        value = self._table.get("since")
        if value is None:
            return 0
        if isinstance(value, datetime):
            moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        elif isinstance(value, date):
            moment = datetime.combine(value, time(), UTC)
        else:
            raise self._wrong("since", "a date such as 2027-01-01, without quotes")
        return int(moment.timestamp())

    def _wrong(self, key: str, wanted: str) -> ConfigError:
        return ConfigError(f"{self._place}: {key!r} must be {wanted}, not {self._table[key]!r}")
