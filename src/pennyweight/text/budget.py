"""A bound on the work and the memory of one template rendering.

Templates come with model files, so they are untrusted programs. Work is counted in units of about 50 ns, not
measured, so that the same template and messages always end the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

MAX_UNITS = 40_000_000  # about 2 s
MAX_CHARS = 16_000_000  # of any one string or output
MAX_WIDTH = 10_000  # of padding and indentation
_STEP_UNITS = 20
_WALK_STEPS = 4
_CHARS_PER_UNIT = 16


class BudgetExceededError(Exception):
    """The rendering needs more than its bound."""


class Budget:
    """What is left for one rendering."""

    def __init__(self, units: int = MAX_UNITS) -> None:
        self._units = units
        self.renew()

    def renew(self) -> None:
        """The next rendering begins."""
        self._left = self._units

    def spend(self, *, steps: int = 1, chars: int = 0) -> None:
        """Pay before doing: `steps` operations and `chars` characters (or list items) made."""
        if chars > MAX_CHARS:
            raise BudgetExceededError(f"it makes a text or list of {chars} entries; the limit is {MAX_CHARS}")
        self._left -= steps * _STEP_UNITS + chars // _CHARS_PER_UNIT
        if self._left < 0:
            raise BudgetExceededError("it loops or grows without end")

    def metered(self, items: Iterable[Any]) -> Iterator[Any]:
        """`items`, each of which costs a step."""
        for item in items:
            self.spend()
            yield item

    def weigh(self, value: Any) -> int:
        """Characters of `value` written out, roughly; walking through it is paid for."""
        self.spend(steps=_WALK_STEPS)
        if isinstance(value, str):
            return len(value)
        if isinstance(value, Mapping):
            return self._sum(part for item in value.items() for part in item)
        if isinstance(value, list | tuple | set | frozenset):
            return self._sum(value)
        return 24  # a number, None, a macro

    def read(self, value: Any) -> Any:
        """`value`, about to be copied or searched without looking into its items."""
        self.spend(chars=len(value) if isinstance(value, str | list | tuple | Mapping) else 0)
        return value

    def read_deeply(self, value: Any) -> Any:
        """`value`, about to be compared as a whole."""
        self.spend(chars=self.weigh(value))
        return value

    def _sum(self, parts: Iterable[Any]) -> int:
        total = 0
        for part in parts:
            total += self.weigh(part) + 4
            if total > MAX_CHARS:
                raise BudgetExceededError(f"it writes out more than {MAX_CHARS} characters")
        return total
