"""Which adapters are in memory: loaded when somebody asks, put out when others need the room.

Whoever answers with an adapter holds a lease on it. Those without leases go when there is no room for a new
one, the least recently used first. The engine holds what its rows compute with, so that an adapter which is
dropped, because its model was deleted, goes with the last answer that uses it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

from pennyweight.errors import InvalidRequestError, ModelUnavailableError, OverloadedError, PennyweightError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pennyweight.models.adapter.files import AdapterFiles

MAX_ADAPTERS = 256


class NativeAdapter(Protocol):
    """The native `Adapter`; nobody here looks into it."""

    @property
    def nbytes(self) -> int: ...


class Adapters(Protocol):
    """What the engine's loop asks once for each request that names an adapter."""

    def get(self, name: str) -> Any:
        """The native adapter `name`. InvalidRequestError names it and the ones that are loaded."""
        ...


class NoAdapters:
    """Those of an engine that has none."""

    def get(self, name: str) -> Any:
        raise _not_loaded(name, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLimits:
    """How many adapters may be in memory at once, and how many bytes they may take together."""

    max_bytes: int
    max_adapters: int = MAX_ADAPTERS


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterCounts:
    """Adapters in memory and their bytes, and how many were loaded and put out since the start."""

    loaded: int = 0
    nbytes: int = 0
    loads: int = 0
    evictions: int = 0


class AdapterLease:
    """While it is held, the adapter stays. Release it once, or use `with`."""

    def __init__(self, pool: AdapterPool, name: str) -> None:
        """Use `AdapterPool.lease`."""
        self._pool = pool
        self._name = name

    def release(self) -> None:
        """The adapter may go."""
        self._pool.take_back(self._name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(slots=True)
class _Loaded:
    adapter: NativeAdapter
    num_leases: int = 0
    is_dropped: bool = False


class AdapterPool:
    """The adapters of one model, from any number of threads. `make` packs one for its decoder."""

    def __init__(self, make: Callable[[AdapterFiles], NativeAdapter], *, limits: AdapterLimits) -> None:
        self._make = make
        self._limits = limits
        self._loading = threading.Lock()  # one at a time: two would need room for both files
        self._lock = threading.Lock()  # guards all below
        self._loaded: OrderedDict[str, _Loaded] = OrderedDict()  # the least recently used first
        self._num_loads = 0
        self._num_evictions = 0

    def lease(self, name: str) -> AdapterLease | None:
        """A hold on an adapter that is in memory; None: `load` it, and ask again."""
        with self._lock:
            entry = self._loaded.get(name)
            if entry is None:
                return None
            entry.num_leases += 1
            self._loaded.move_to_end(name)
            return AdapterLease(self, name)

    def load(self, name: str, files: Callable[[], AdapterFiles]) -> None:
        """Bring an adapter into memory; this takes tens of milliseconds, so no event loop may call it.

        Raises ModelUnavailableError for one that cannot be loaded, OverloadedError if those in use leave no
        room.
        """
        with self._loading:
            if name in self._loaded:
                return
            try:
                adapter = self._make(files())
            except PennyweightError as error:
                message = f"The model's adapter cannot be loaded: {error.message}."
                raise ModelUnavailableError(message, param="model") from error
            with self._lock:
                self._make_room(adapter.nbytes)
                self._loaded[name] = _Loaded(adapter)
                self._num_loads += 1

    def get(self, name: str) -> Any:
        """The native adapter of that name, which a lease keeps here. Raises InvalidRequestError."""
        entry = self._loaded.get(name)
        if entry is None:
            raise _not_loaded(name, self._loaded)
        return entry.adapter

    def drop(self, name: str) -> None:
        """The adapter is not wanted any more: it goes now, or with its last lease."""
        with self._lock:
            entry = self._loaded.get(name)
            if entry is not None:
                entry.is_dropped = True
                self._settle(name, entry)

    def take_back(self, name: str) -> None:
        """A lease has ended; `AdapterLease.release` says so."""
        with self._lock:
            entry = self._loaded[name]
            entry.num_leases -= 1
            self._settle(name, entry)

    @property
    def max_bytes(self) -> int:
        """The most that adapters take together."""
        return self._limits.max_bytes

    def counts(self) -> AdapterCounts:
        """What is there now, and what was."""
        with self._lock:
            return AdapterCounts(
                loaded=len(self._loaded),
                nbytes=self._nbytes(),
                loads=self._num_loads,
                evictions=self._num_evictions,
            )

    def _settle(self, name: str, entry: _Loaded) -> None:
        if entry.is_dropped and not entry.num_leases:
            del self._loaded[name]

    def _nbytes(self) -> int:
        return sum(entry.adapter.nbytes for entry in self._loaded.values())

    def _make_room(self, nbytes: int) -> None:
        """Put idle adapters out until one of `nbytes` has room."""
        limits = self._limits
        if nbytes > limits.max_bytes:
            raise ModelUnavailableError(
                f"The model's adapter takes {_mib(nbytes)} of memory, and adapters may take "
                f"{_mib(limits.max_bytes)} together; start the server with more --memory.",
                param="model",
            )
        idle = [name for name, entry in self._loaded.items() if not entry.num_leases]
        while self._nbytes() + nbytes > limits.max_bytes or len(self._loaded) >= limits.max_adapters:
            if not idle:
                raise OverloadedError(
                    f"The adapters of {len(self._loaded)} other models are in use and take all of the "
                    f"{_mib(limits.max_bytes)} that adapters may take; try again later.",
                    param="model",
                )
            del self._loaded[idle.pop(0)]
            self._num_evictions += 1


def _not_loaded(name: str, loaded: Iterable[str]) -> InvalidRequestError:
    names = ", ".join(loaded) or "none"
    return InvalidRequestError(
        f"Adapter {name!r} is not loaded; loaded are: {names}. Use the model itself.", param="model"
    )


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / 2**20:,.1f} MiB"
