"""A bucket that refills evenly over a minute: the arithmetic of one limit, without a clock of its own.

Taking is checked by whoever takes; the level may fall below zero when more was used than was set aside, and
then nothing fits until the debt is paid (https://en.wikipedia.org/wiki/Token_bucket).
"""

from __future__ import annotations

_REFILL_S = 60.0


class Bucket:
    """`capacity` units a minute, as many at once. Times are seconds of one monotonic clock."""

    def __init__(self, capacity: int, now_s: float) -> None:
        self.capacity = capacity
        self._level = float(capacity)
        self._updated_s = now_s

    def level(self, now_s: float) -> float:
        """Units there are; below zero: owed."""
        refilled = (now_s - self._updated_s) * self.capacity / _REFILL_S
        return min(self._level + refilled, float(self.capacity))

    def take(self, amount: float, now_s: float) -> None:
        """Take `amount`, whether it is there or not; a negative one is given back."""
        self._level = self.level(now_s) - amount
        self._updated_s = now_s

    def wait_s(self, amount: float, now_s: float) -> float:
        """Seconds until `amount` is there; for more than the capacity, until the bucket is full."""
        lacking = min(amount, self.capacity) - self.level(now_s)
        return max(lacking, 0.0) * _REFILL_S / self.capacity

    def resize(self, capacity: int, now_s: float) -> None:
        """Go on with another capacity; what was used of the old one stays used."""
        if capacity != self.capacity:
            used = self.capacity - self.level(now_s)
            self.capacity = capacity
            self._level = capacity - used
            self._updated_s = now_s
