"""What a generation is: its eight states, which lead to which, and the lease of whoever works on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pennyweight.errors import InvalidRequestError, PennyweightError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class State(StrEnum):
    """Those of OpenAI's responses and runs together."""

    QUEUED = "queued"
    IN_PROGRESS = "in_progress"
    REQUIRES_ACTION = "requires_action"  # waits for the results of tools
    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


ENDED = frozenset({State.COMPLETED, State.INCOMPLETE, State.FAILED, State.CANCELLED, State.EXPIRED})

FROM: Mapping[State, frozenset[State]] = {
    # back to queued: its worker is gone, or the results of tools have come
    State.QUEUED: frozenset({State.IN_PROGRESS, State.REQUIRES_ACTION}),
    State.IN_PROGRESS: frozenset({State.QUEUED}),
    State.REQUIRES_ACTION: frozenset({State.IN_PROGRESS}),
    State.COMPLETED: frozenset({State.IN_PROGRESS}),
    State.INCOMPLETE: frozenset({State.IN_PROGRESS}),
    State.FAILED: frozenset({State.QUEUED, State.IN_PROGRESS, State.REQUIRES_ACTION}),
    State.CANCELLED: frozenset({State.QUEUED, State.IN_PROGRESS, State.REQUIRES_ACTION}),
    State.EXPIRED: frozenset({State.QUEUED, State.IN_PROGRESS, State.REQUIRES_ACTION}),
}
"""The states each state is entered from. An ended generation stays as it ended."""

Kind = Literal["response", "chat_completion", "run"]


class WrongStateError(InvalidRequestError):
    """What was asked for does not go with the state something is in."""

    code = "invalid_state"


class LeaseLostError(PennyweightError):
    """Somebody else works on it now: whatever this worker has done since counts for nothing."""

    code = "lease_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to work on a generation until `expires_at`; renewed, it is still the same `fence`."""

    generation_id: str
    project_id: str
    fence: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Times are seconds since 1970; `request`, `result` and `error` are JSON texts."""

    id: str
    project_id: str
    kind: Kind
    state: State
    model: str
    parent_id: str | None
    conversation_id: str | None
    request: str
    result: str | None
    error: str | None
    metadata: Mapping[str, str]
    key_id: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    expires_at: int | None
    attempt: int

    @property
    def has_ended(self) -> bool:
        """Whether it stays as it is."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True, kw_only=True)
class NewGeneration:
    """What is known of a generation when it comes in. `result` is what is told of it until it has ended."""

    id: str
    kind: Kind
    model: str
    request: str
    parent_id: str | None = None
    conversation_id: str | None = None
    metadata: Mapping[str, str]
    key_id: str | None = None
    result: str | None = None
    expires_at: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationFilter:
    """Which generations a list shows; None and no `metadata`: whatever it is. All entries must be there."""

    kind: Kind
    states: Collection[State] | None = None
    model: str | None = None
    conversation_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
