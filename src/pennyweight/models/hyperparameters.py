"""The `<architecture>.*` keys of a model file, read once each; whatever nobody read is refused by name.

Unknown keys are how a file says that it needs arithmetic this engine does not do. Ignoring one gives a model
that answers, wrongly.
"""

from __future__ import annotations

import reprlib
from math import isfinite
from typing import TYPE_CHECKING, Any

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DIMENSION = 1 << 24
"""No size of a supported model comes near; keeps hostile numbers out of loops."""


class Hyperparameters:
    """Typed access to the keys of one architecture. Getters raise ModelFileError for a wrong value."""

    def __init__(self, metadata: Mapping[str, Any], *, architecture: str) -> None:
        self.architecture = architecture
        prefix = architecture + "."
        self._unread = {key.removeprefix(prefix): metadata[key] for key in metadata if key.startswith(prefix)}

    def integer(
        self, key: str, *, default: int | None = None, low: int = 1, high: int = MAX_DIMENSION
    ) -> int:
        """An integer in `low..high`; without a default the key must be there."""
        value = self._take(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.fail(key, value, f"an integer from {low} to {high}")
        return value

    def number(self, key: str, *, default: float | None = None, low: float, high: float) -> float:
        """A finite number in `low..high`; without a default the key must be there."""
        value = self._take(key, default)
        if type(value) not in (int, float) or not isfinite(value) or not low <= value <= high:
            raise self.fail(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def take(self, key: str) -> Any:
        """Any value, None if the key is missing; the caller checks it."""
        return self._unread.pop(key, None)

    def only(self, key: str, *allowed: object) -> None:
        """A key that may be there as long as it says what this engine does anyway."""
        value = self._unread.pop(key, None)
        if value is not None and value not in allowed:
            raise self.fail(key, value, " or ".join(map(repr, allowed)))

    def ignore(self, *keys: str) -> None:
        """Keys that describe the model without changing what it computes."""
        for key in keys:
            self._unread.pop(key, None)

    def finish(self) -> None:
        """Refuse what was not read."""
        for key, value in self._unread.items():
            raise ModelFileError(
                f"{self.architecture}.{key} is set (to {reprlib.repr(value)}), "
                "which this engine does not compute; use another model file"
            )

    def fail(self, key: str, value: object, expected: str) -> ModelFileError:
        """The error for a value that is not `expected`."""
        shown = "missing" if value is None else reprlib.repr(value)
        return ModelFileError(f"{self.architecture}.{key} is {shown}; expected {expected}")

    def _take(self, key: str, default: float | None) -> Any:
        value = self._unread.pop(key, None)
        return default if value is None else value
