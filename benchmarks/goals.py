"""What a row is held to: a ratio to a peer, a limit of its value, or a share of what the machine can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Better = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`kind` ratio: to the best of the peer `of`; value: of ours; share: the further figure `of` of ours."""

    kind: Literal["ratio", "value", "share"]
    bound: float
    of: str = ""

    def to_data(self) -> dict[str, Any]:
        return {"kind": self.kind, "bound": self.bound, "of": self.of}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Goal:
        return cls(**data)

    def told(self, *, better: Better, unit: str) -> str:
        """The goal in words, such as "6x llama.cpp" or "at most 20 ms"."""
        if self.kind == "ratio":
            return f"{self.bound:g}x {self.of}"
        if self.kind == "share":
            return f"{self.bound:.0%} of the {SHARES[self.of]}"
        return f"{'at least' if better == 'higher' else 'at most'} {self.bound:g} {unit}"


SHARES = {
    "int8_peak_share": "int8 peak",
    "bandwidth_share": "streaming read of the weights",
    "prompt_rate_share": "prompt rate alone",
}
"""Further figures that are shares of a limit, and that limit's name."""


def ratio_goal(of: str, bound: float) -> Goal:
    """At least `bound` times as good as the best configuration of the peer `of`."""
    return Goal(kind="ratio", bound=bound, of=of)


def value_goal(bound: float) -> Goal:
    """At least, or at most, `bound` in the row's unit."""
    return Goal(kind="value", bound=bound)


def share_goal(of: str, bound: float) -> Goal:
    """At least the share `bound` of a limit."""
    return Goal(kind="share", bound=bound, of=of)
