"""Residents that cost nothing: each takes a stated part of a made-up memory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pennyweight.answers.served import OpenModel
from pennyweight.engine.stats import EngineStats
from pennyweight.errors import ConfigError
from pennyweight.local_models import LocalModel
from pennyweight.residents.place import ResidentLimits
from pennyweight.residents.residents import Residents

if TYPE_CHECKING:
    from pennyweight.residents.place import Room


class StandIn:
    """A resident of `size`."""

    def __init__(self, house: House, name: str, size: int) -> None:
        self.house, self.name, self.size = house, name, size
        self.is_serving = True
        self.engine: Any = self

    def stats(self) -> EngineStats:
        return EngineStats(pages_total=10, steps=1)

    def beside_bytes(self) -> int:
        return 0

    def close(self) -> None:
        self.house.told.append(f"-{self.name}")
        self.house.used -= self.size


class House:
    """Opens stand-ins as long as they fit `room`; `told` is what came (+) and went (-)."""

    def __init__(self, sizes: dict[str, int], *, room: int, limits: ResidentLimits | None = None) -> None:
        self.sizes, self.room, self.used = sizes, room, 0
        self.told: list[str] = []
        self.fail: dict[str, Exception] = {}
        self.may_load = threading.Event()
        self.may_load.set()
        self.is_loading = threading.Event()
        models = [LocalModel(name=name, source=f"/no/{name}.gguf") for name in sizes]
        self.residents = Residents(models, self._open, limits=limits or ResidentLimits())
        answering = self.residents.answering(self._wrap)
        self.models = {model.name: model for model in answering}

    def _open(self, model: LocalModel, room: Room) -> StandIn:
        size = self.sizes[model.name]
        if size > self.room:
            raise ConfigError(f"{model.name} needs {size} of {self.room}")
        room.make(lambda: self.used + size <= self.room)
        self.is_loading.set()
        assert self.may_load.wait(30)
        room.progress("load", 1, 1)
        if model.name in self.fail:
            raise self.fail[model.name]
        assert self.used + size <= self.room, "no room was made"
        self.used += size
        self.told.append(f"+{model.name}")
        return StandIn(self, model.name, size)

    def _wrap(self, model: LocalModel, engine: Any) -> OpenModel:
        assert engine.name == model.name
        return OpenModel(name=model.name, answers=engine, ids=engine)
