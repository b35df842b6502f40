"""Which models are in memory: loaded when somebody asks for them, unloaded when others need the room.

An answer holds a lease on its model, and a model with leases is never unloaded. Whoever asks for a model that
is not there waits in one line, first come, first served, while a thread loads one model after another; those
that are there answer meanwhile. If a model does not fit, idle ones go, the least recently used first. If all
are busy, the least recently used takes no further answers, and goes when those it has are done: a busy model
cannot keep another one out for ever.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from pennyweight.answers.served import AnsweringModel
from pennyweight.errors import (
    EngineError,
    ModelLoadingError,
    ModelUnavailableError,
    OverloadedError,
    PennyweightError,
    UnavailableError,
)
from pennyweight.residents.place import Place, Waiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from concurrent.futures import Future

    from pennyweight.answers.served import OpenModel
    from pennyweight.engine.stats import EngineStats
    from pennyweight.local_models import LocalModel
    from pennyweight.residents.place import Opener, Progress, Resident, ResidentLimits, Wrap

log = logging.getLogger(__name__)


class NobodyWaitsError(Exception):
    """Whoever asked for the model that is being loaded is gone, or the service ends."""


class Residents:
    """The models that run here, from any number of threads and event loops. Close it, or use `closing`."""

    def __init__(
        self,
        models: Sequence[LocalModel],
        opener: Opener,
        *,
        limits: ResidentLimits,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opener = opener
        self._limits = limits
        self._clock = clock
        self._news = threading.Condition()  # guards all below
        self._places = {model.name: Place(model=model) for model in models}
        self._waiting: deque[Waiter] = deque()
        self._num_uses = 0
        self._closed = False
        self._wrap: Wrap | None = None
        self._thread = threading.Thread(target=self._run, name="pennyweight-models", daemon=True)
        self._thread.start()

    def warm(self, name: str, *, progress: Progress | None = None) -> None:
        """Load one model now, on this thread, before any is asked for. Raises what loading raises."""
        place = self._places[name]
        resident = self._opener(place.model, _Room(self, place, progress))
        with self._news:
            self._place_in(place, resident)
            self._news.notify_all()  # it may be told to go again

    def answering(self, wrap: Wrap) -> list[AnsweringModel]:
        """The models as they are served; `wrap` says how an engine answers."""
        self._wrap = wrap
        return [self._answering(place) for place in self._places.values()]

    def stats(self) -> Mapping[str, EngineStats]:
        """What the engines of each model do and did, whether they are there or not."""
        return {name: place.stats() for name, place in self._places.items()}

    def num_loads(self) -> Mapping[str, int]:
        """How often each model was loaded."""
        return {name: place.num_loads for name, place in self._places.items()}

    def drop_adapter(self, adapter: str) -> None:
        """Nobody asks for it any more: it need not stay in memory."""
        with self._news:
            engines = [place.resident.engine for place in self._places.values() if place.resident is not None]
        for engine in engines:
            engine.adapters.drop(adapter)

    def sources(self) -> Mapping[str, str]:
        """The file or installed name of each model."""
        from pennyweight.models.catalog import DEFAULT_MODEL

        return {name: place.model.source or DEFAULT_MODEL for name, place in self._places.items()}

    @property
    def is_serving(self) -> bool:
        """False while an engine that has failed is there, or once this is closed."""
        residents = [place.resident for place in self._places.values()]
        return not self._closed and all(one is None or one.is_serving for one in residents)

    def close(self) -> None:
        """Unload everything; what waits fails. Harmless twice."""
        with self._news:
            self._closed = True
            for waiter in self._waiting:
                waiter.fail(UnavailableError("The server is stopping and loads no more models."))
            self._waiting.clear()
            self._news.notify_all()
        self._thread.join()
        for place in self._places.values():
            if place.resident is not None:
                place.take_out().close()

    def beside_bytes(self, place: Place) -> int:
        """What all models but that of `place` may yet take."""
        with self._news:
            residents = [other.resident for other in self._places.values() if other is not place]
        return sum(resident.beside_bytes() for resident in residents if resident is not None)

    def is_alone(self, place: Place) -> bool:
        """Whether no other model is there."""
        return all(other is place or other.resident is None for other in self._places.values())

    def evict(self, place: Place) -> bool:
        """Unload one model for that of `place`; waits while all are busy. False: no other is there."""
        with self._news:
            while True:
                others = [other for other in self._places.values() if other.resident and other is not place]
                if not others:
                    return False
                self._check_wanted(place)
                idle = [other for other in others if not other.num_leases]
                if idle:
                    gone = min(idle, key=lambda other: other.used).take_out()
                    break
                min(others, key=lambda other: other.used).is_leaving = True
                self._news.wait()
        gone.close()
        return True

    def stay(self) -> None:
        """Models that were to leave and have not: there was room without them."""
        with self._news:
            for place in self._places.values():
                if place.is_leaving:
                    place.is_leaving = False
                    self._settle(place, None)

    def _check_wanted(self, place: Place) -> None:
        """Raise NobodyWaitsError if there is no use in making room."""
        if self._closed or not any(waiter.place is place and waiter.is_there for waiter in self._waiting):
            raise NobodyWaitsError

    def check_open(self) -> None:
        """Raise NobodyWaitsError once this is closed."""
        if self._closed:
            raise NobodyWaitsError

    def _answering(self, place: Place) -> AnsweringModel:
        return AnsweringModel(
            name=place.model.name,
            created=place.created,
            opening=lambda patient: self._opening(place, patient),
            residence=lambda: place.residence,
        )

    @asynccontextmanager
    async def _opening(self, place: Place, patient: bool) -> AsyncIterator[OpenModel]:
        lease = self._lease(place, patient)
        if isinstance(lease, Waiter):
            model = await self._granted_later(lease)
        else:
            model = lease
        try:
            yield model
        finally:
            self._return(place)

    async def _granted_later(self, waiter: Waiter) -> OpenModel:
        patience_s = None if waiter.patient else self._limits.patience_s
        try:
            async with asyncio.timeout(patience_s):
                return await asyncio.wrap_future(waiter.future)
        except TimeoutError:
            self._give_up(waiter)
            raise ModelLoadingError(
                f"The model '{waiter.place.model.name}' was not ready after {patience_s:g} seconds: it is "
                "being loaded, or waits for memory that other models use; try again later.",
                param="model",
            ) from None
        except BaseException:
            self._give_up(waiter)
            raise

    def _give_up(self, waiter: Waiter) -> None:
        if not waiter.future.cancel():  # settled at this very moment
            waiter.future.add_done_callback(lambda future: self._return_unused(waiter.place, future))
        with self._news:
            self._news.notify_all()  # a model that nobody waits for any more is not made room for

    def _return_unused(self, place: Place, future: Future[OpenModel]) -> None:
        if not future.cancelled() and future.exception() is None:
            self._return(place)

    def _lease(self, place: Place, patient: bool) -> OpenModel | Waiter:
        """The model, if it is there, else a place in the line. Raises OverloadedError, UnavailableError."""
        with self._news:
            if self._closed:
                raise UnavailableError("The server is stopping and takes no more requests.")
            if place.is_open:
                return self._grant(place)
            self._waiting = deque(waiter for waiter in self._waiting if waiter.is_there)
            if len(self._waiting) >= self._limits.max_waiting:
                raise OverloadedError(
                    f"{len(self._waiting)} requests wait for models to be loaded, and no more may; "
                    "try again later."
                )
            waiter = Waiter(place, patient=patient)
            self._waiting.append(waiter)
            self._news.notify_all()
            return waiter

    def _grant(self, place: Place) -> OpenModel:
        assert place.resident is not None, "only a model that is there is leased"
        if place.opened is None:
            assert self._wrap is not None, "nothing is asked before it is served"
            place.opened = self._wrap(place.model, place.resident.engine)
        place.num_leases += 1
        self._use(place)
        return place.opened

    def _return(self, place: Place) -> None:
        with self._news:
            place.num_leases -= 1
            self._use(place)
            if not place.num_leases:
                self._news.notify_all()

    def _use(self, place: Place) -> None:
        self._num_uses += 1
        place.used, place.used_s = self._num_uses, self._clock()

    def _run(self) -> None:
        while (place := self._next()) is not None:
            self._load(place)

    def _next(self) -> Place | None:
        """The model that is wanted longest, batches apart; None once closed. Idle ones go meanwhile."""
        while True:
            with self._news:
                while not self._closed and not (overdue := self._overdue()):
                    self._waiting = deque(waiter for waiter in self._waiting if waiter.is_there)
                    if self._waiting:
                        return min(self._waiting, key=lambda waiter: waiter.patient).place
                    self._news.wait(self._until_overdue_s())
                if self._closed:
                    return None
                gone = overdue[0].take_out()
            gone.close()

    def _load(self, place: Place) -> None:
        error: PennyweightError | None = None
        place.is_loading = True
        try:
            self._bring(place)
        except NobodyWaitsError:
            pass
        except PennyweightError as failure:
            message = f"The model '{place.model.name}' cannot be loaded: {failure.message}"
            error = ModelUnavailableError(message, param="model")
        except Exception:  # the thread's edge: a defect costs those who wait for this model, nobody else
            log.exception("The model %s could not be loaded", place.model.name)
            error = EngineError(
                f"The model '{place.model.name}' cannot be loaded; the server's log says why."
            )
        with self._news:
            place.is_loading = False
            self._settle(place, error)
        self.stay()

    def _bring(self, place: Place) -> None:
        """Returns when the model is there."""
        with self._news:
            if place.is_open:
                return
            gone = None
            if place.resident is not None:  # it has failed, and its last answers are failing
                self._news.wait_for(lambda: self._closed or not place.num_leases)
                gone = place.take_out()
        if gone is not None:
            gone.close()
        resident = self._opener(place.model, _Room(self, place, None))
        with self._news:
            self._place_in(place, resident)

    def _place_in(self, place: Place, resident: Resident) -> None:
        place.resident = resident
        place.num_loads += 1
        self._use(place)

    def _settle(self, place: Place, error: PennyweightError | None) -> None:
        """Tell all who wait for this model, and leave the others in the line."""
        mine = [waiter for waiter in self._waiting if waiter.place is place]
        self._waiting = deque(waiter for waiter in self._waiting if waiter.place is not place)
        for waiter in mine:
            if error is not None:
                waiter.fail(error)
            elif not place.is_open:  # given up, and somebody came meanwhile
                self._waiting.append(waiter)
            elif waiter.future.set_running_or_notify_cancel():
                waiter.future.set_result(self._grant(place))

    def _overdue(self) -> list[Place]:
        patience_s = self._limits.unload_after_s
        if patience_s is None:
            return []
        now_s = self._clock()
        return [one for one in self._places.values() if one.is_idle and now_s >= one.used_s + patience_s]

    def _until_overdue_s(self) -> float | None:
        if self._limits.unload_after_s is None:
            return None
        used = [one.used_s for one in self._places.values() if one.is_idle]
        return max(0.0, min(used) + self._limits.unload_after_s - self._clock()) if used else None


class _Room:
    """The room in memory for one model: as `Room` says."""

    def __init__(self, residents: Residents, place: Place, progress: Progress | None) -> None:
        self._residents = residents
        self._place = place
        self._progress = progress

    def make(self, fits: Callable[[], bool]) -> None:
        while not fits() and self._residents.evict(self._place):
            pass
        self._residents.stay()

    def beside_bytes(self) -> int:
        return self._residents.beside_bytes(self._place)

    @property
    def is_alone(self) -> bool:
        return self._residents.is_alone(self._place)

    def progress(self, stage: str, done: int, total: int) -> None:
        self._residents.check_open()
        if self._progress is not None:
            self._progress(stage, done, total)
