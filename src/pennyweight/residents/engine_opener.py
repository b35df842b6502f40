"""Engines as residents: a model opened beside others, within the memory and on the cores they share."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pennyweight.api import find_model, useful_threads
from pennyweight.composition import compose
from pennyweight.core import PAGE_TOKENS
from pennyweight.encoder import EncoderSlot
from pennyweight.engine.stats import EngineStats
from pennyweight.errors import PennyweightError
from pennyweight.memory import MemoryPlan
from pennyweight.memory_need import serving_bytes
from pennyweight.residents.gentle import lower_priority, short_turns
from pennyweight.residents.page_share import page_share, standing_bytes
from pennyweight.residents.settling import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pennyweight.api import Engine
    from pennyweight.engine.core_turns import CoreTurns
    from pennyweight.kv_format import KvFormat
    from pennyweight.local_models import LocalModel
    from pennyweight.memory import PoolSize
    from pennyweight.models.load import LoadedModel
    from pennyweight.models.outline import ModelOutline
    from pennyweight.models.rounded import WeightType
    from pennyweight.models.spec import ModelSpec
    from pennyweight.prefix_cache import PrefixCache
    from pennyweight.residents.place import Room
    from pennyweight.text.tokenizer import Tokenizer

_PATIENCE_S = 5.0  # for answers that have just ended to let go of their model


class ResidentEngine:
    """An engine in memory; `buffer_bytes` is what its largest step will work in, `cores` are shared."""

    def __init__(self, engine: Engine, *, buffer_bytes: int, cores: CoreTurns) -> None:
        self._engine: Engine | None = engine
        self._buffer_bytes = buffer_bytes
        self._closed = threading.Event()
        settling = (engine.answerer.grammars, cores, self._closed)
        threading.Thread(target=settle, args=settling, name="pennyweight-grammars", daemon=True).start()

    @property
    def engine(self) -> Engine:
        assert self._engine is not None, "it was closed"
        return self._engine

    @property
    def is_serving(self) -> bool:
        engine = self._engine  # somebody may still look at one that is being closed
        return engine is None or engine.is_serving

    def stats(self) -> EngineStats:
        engine = self._engine
        return EngineStats() if engine is None else engine.stats()

    def beside_bytes(self) -> int:
        """Pages that hold nothing yet, room for adapters, and as if nothing had been computed yet."""
        stats, spec = self.stats(), self.engine.model.spec
        untouched = stats.pages_total - max(stats.pages_used, stats.pages_cached)
        adapters = self.engine.adapters.max_bytes - stats.adapter_bytes
        pages = untouched * PAGE_TOKENS * spec.kv_bytes_per_token
        return pages + adapters + self._buffer_bytes + serving_bytes(spec)

    def close(self) -> None:
        """An answer that has just ended keeps its model for a moment more."""
        from pennyweight.native import _native

        self._closed.set()
        freed = threading.Event()
        engine, self._engine = self.engine, None
        engine.when_freed(freed.set)
        engine.close()
        del engine
        freed.wait(_PATIENCE_S)
        _native.release_free_memory()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOpener:
    """How models are opened: `context`, `parallel`, `threads`, `weights` and `kv_format` as of `Engine.open`,
    `spilled` of `compose`.

    `models` are all that may be there at once, `program_bytes` what the process holds before the first.
    """

    models: Sequence[LocalModel]
    ceiling_bytes: int | None
    program_bytes: int
    context: int | None
    parallel: int | None
    threads: int | None
    weights: WeightType | None = None
    kv_format: KvFormat = "int8"
    spilled: PrefixCache | None = None
    batch_share: float
    cores: CoreTurns

    def __call__(self, model: LocalModel, room: Room) -> ResidentEngine:
        """Raises what `Engine.open` does."""
        path = find_model(model.source, room.progress)
        plan = _RoomyPlan(self, model, room)
        opened = partial(
            compose,
            path,
            plan,
            EncoderSlot(cores=self.cores, offered=False),
            name=model.name,
            context=plan.context,
            parallel=plan.parallel,
            threads=self.threads,
            weights=self.weights,
            kv_format=model.kv_cache_dtype or self.kv_format,
            batch_share=self.batch_share,
            spilled=self.spilled,
            progress=room.progress,
        )
        engine = opened() if room.is_alone else opened(loading=_gentle_loading, reading=_gentle_reading)
        return ResidentEngine(engine, buffer_bytes=plan.buffer_bytes, cores=self.cores)

    @property
    def num_threads(self) -> int:
        return self.threads or useful_threads()

    def share(self, model: LocalModel, outline: ModelOutline) -> int:
        """The most bytes for the pages of `model` beside the others."""
        assert self.ceiling_bytes is not None, "only a ceiling is divided"
        others = [self._standing_bytes(other) for other in self.models if other is not model]
        return page_share(
            self.ceiling_bytes,
            program_bytes=self.program_bytes,
            own_bytes=standing_bytes(outline, threads=self.num_threads),
            others=[num_bytes for num_bytes in others if num_bytes is not None],
        )

    def _standing_bytes(self, model: LocalModel) -> int | None:
        """None: it is not here, or no model."""
        from pennyweight.models.catalog import DEFAULT_MODEL
        from pennyweight.models.local import resolve
        from pennyweight.models.outline import outline

        try:
            described = outline(resolve(model.source or DEFAULT_MODEL), weights=self.weights)
        except PennyweightError:
            return None
        return standing_bytes(described, threads=self.num_threads)


class _RoomyPlan:
    """A plan that makes room before it admits."""

    def __init__(self, opener: EngineOpener, model: LocalModel, room: Room) -> None:
        self._opener = opener
        self._room = room
        self.context = model.context or opener.context
        self.parallel = model.parallel or opener.parallel
        divided = opener.ceiling_bytes is not None and len(opener.models) > 1
        self._plan = MemoryPlan(
            opener.ceiling_bytes,
            threads=opener.num_threads,
            beside=room.beside_bytes,
            share=partial(opener.share, model) if divided else None,
        )

    @property
    def buffer_bytes(self) -> int:
        return self._plan.buffer_bytes

    def admit(self, outline: ModelOutline) -> None:
        if not self._room.is_alone:
            # Nobody goes for a model that would not fit an empty machine.
            asked = {"context": self.context, "parallel": self.parallel}
            self._plan.check_alone(outline, held_bytes=self._opener.program_bytes, **asked)
            self._room.make(partial(self._plan.fits, outline, **asked))
        self._plan.admit(outline)

    def pool(self, spec: ModelSpec, *, context: int | None, parallel: int | None) -> PoolSize:
        return self._plan.pool(spec, context=context, parallel=parallel)


def _gentle_loading(path: Path, *, admit: Callable[[ModelOutline], None], **arguments: object) -> LoadedModel:
    """As `models.load.load`, beside answers that go on: the header in short turns, the rest behind them.

    With one thread: a step of an engine waits for the last of its own, so it should lose one core at most.
    """
    from pennyweight.models.load import load

    with ExitStack() as reading:
        reading.enter_context(short_turns())

        def read(outline: ModelOutline) -> None:
            reading.close()
            admit(outline)

        return load(path, threads=1, beginning=lower_priority, admit=read, **arguments)  # type: ignore[arg-type]


def _gentle_reading(metadata: Mapping[str, Any]) -> Tokenizer:
    """The vocabulary as `Tokenizer.from_metadata` reads it, beside answers that go on."""
    from pennyweight.text.tokenizer import Tokenizer

    with short_turns():
        return Tokenizer.from_metadata(metadata)
