"""One model among several that may be in memory: its place, who waits for it, what is asked of it there."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from pennyweight.engine.stats import EngineStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.answers.served import OpenModel, Residence
    from pennyweight.api import Engine
    from pennyweight.errors import PennyweightError
    from pennyweight.local_models import LocalModel

    Progress = Callable[[str, int, int], None]  # what is being done, bytes done and in total
    Wrap = Callable[[LocalModel, Engine], OpenModel]

PATIENCE_S = 120.0
MAX_WAITING = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class ResidentLimits:
    """`patience_s`: how long a request waits for its model, `max_waiting` how many may at a time.

    `unload_after_s`: an idle model goes after so long; None: only when others need the room.
    """

    patience_s: float = PATIENCE_S
    max_waiting: int = MAX_WAITING
    unload_after_s: float | None = None


class Resident(Protocol):
    """A model in memory."""

    @property
    def engine(self) -> Engine: ...
    @property
    def is_serving(self) -> bool: ...

    def stats(self) -> EngineStats: ...

    def beside_bytes(self) -> int:
        """What it may yet take of memory that is its own."""
        ...

    def close(self) -> None:
        """Returns when the memory was given back."""
        ...


class Room(Protocol):
    """The room in memory for a model that is being loaded."""

    @property
    def is_alone(self) -> bool:
        """Whether no other model is there, whose answers could be held up."""
        ...

    def make(self, fits: Callable[[], bool]) -> None:
        """Unload other models until `fits` or none is left; waits while they are busy."""
        ...

    def beside_bytes(self) -> int:
        """What the other models may yet take."""
        ...

    def progress(self, stage: str, done: int, total: int) -> None:
        """To be called now and then; what it raises ends the loading."""
        ...


class Opener(Protocol):
    """Brings a model into memory. Raises PennyweightError."""

    def __call__(self, model: LocalModel, room: Room) -> Resident: ...


@dataclass(slots=True, kw_only=True, eq=False)
class Place:
    """One model served here, in memory or not. Guarded by the lock of `Residents`."""

    model: LocalModel
    resident: Resident | None = None
    opened: OpenModel | None = None
    num_leases: int = 0  # answers under way
    num_loads: int = 0
    used: int = 0  # rises with every use of any model
    used_s: float = 0.0  # when that was
    is_loading: bool = False
    is_leaving: bool = False  # takes no further answers
    past: EngineStats = field(default_factory=EngineStats)  # totals of engines that are gone

    @property
    def is_open(self) -> bool:
        """Whether it takes answers now."""
        return self.resident is not None and not self.is_leaving and self.resident.is_serving

    @property
    def is_idle(self) -> bool:
        return self.resident is not None and not self.num_leases

    @property
    def residence(self) -> Residence:
        """For lists of models."""
        if self.resident is not None:
            return "loaded"
        return "loading" if self.is_loading else "unloaded"

    @property
    def created(self) -> int:
        """When the model's file was written, in seconds since 1970; 0 if it is not there."""
        from pennyweight.errors import PennyweightError
        from pennyweight.models.catalog import DEFAULT_MODEL
        from pennyweight.models.local import resolve

        try:
            return int(resolve(self.model.source or DEFAULT_MODEL).stat().st_mtime)
        except (PennyweightError, OSError):
            return 0

    def stats(self) -> EngineStats:
        """Counts of now, and totals since the server's start."""
        resident = self.resident
        return self.past if resident is None else self.past.plus(resident.stats())

    def take_out(self) -> Resident:
        """The model leaves; whoever calls closes it."""
        assert self.resident is not None, "only a model that is there can leave"
        gone, self.resident, self.opened, self.is_leaving = self.resident, None, None, False
        self.past = self.past.plus(gone.stats()).totals()
        return gone


class Waiter:
    """A request that waits for a model; a `patient` one as long as it takes, and others go first."""

    def __init__(self, place: Place, *, patient: bool) -> None:
        self.place = place
        self.patient = patient
        self.future: Future[OpenModel] = Future()

    @property
    def is_there(self) -> bool:
        return not self.future.done()

    def fail(self, error: PennyweightError) -> None:
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)
