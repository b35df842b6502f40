"""Which batch is put down when others wait and every place for a batch is taken.

Claims are fair between projects, but a batch may take a day: without turns, a project that came late would
wait for the end of another's. Its lines and its place in the queue are kept; going on costs reading its input
once more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.store.batch_claims import ProjectLoad

TURN_S: Final = 60.0
"""So long a batch may go on although a project waits that has nothing under way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A batch that is worked on here, for `seconds`."""

    batch_id: str
    project_id: str
    seconds: float


def to_put_down(turns: Sequence[Turn], loads: Sequence[ProjectLoad], *, turn_s: float = TURN_S) -> str | None:
    """The batch whose turn is over because the project with the least under way waits; None: nobody's.

    A project with two more than that gives one up at once, its newest; one with one more after `turn_s`.
    """
    waiting = [load.num_claimed for load in loads if load.num_waiting]
    if not waiting:
        return None
    least = min(waiting)
    claimed = {load.project_id: load.num_claimed for load in loads}
    most = max((claimed.get(turn.project_id, 0) for turn in turns), default=0)
    if most > least + 1:
        richest = [turn for turn in turns if claimed.get(turn.project_id, 0) == most]
        return min(richest, key=lambda turn: turn.seconds).batch_id
    over = [turn for turn in turns if claimed.get(turn.project_id, 0) > least and turn.seconds >= turn_s]
    return max(over, key=lambda turn: turn.seconds).batch_id if over else None
