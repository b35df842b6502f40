"""An engine put together: what command line, Python programs and the server share.

A file becomes a packed model, a decoder over a pool of pages sized to the machine, a pool of adapters, the
engine's thread, and an `Answerer` on top.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from pennyweight.api import Engine, stage_progress, useful_threads
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from pennyweight.answers.answer import Answerer
    from pennyweight.api import Progress
    from pennyweight.encoder import EncoderSlot
    from pennyweight.engine.adapters import AdapterPool
    from pennyweight.engine.limits import Limits
    from pennyweight.engine.loop import StepLoop
    from pennyweight.kv_format import KvFormat
    from pennyweight.memory import PoolSize
    from pennyweight.models.load import LoadedModel
    from pennyweight.models.outline import ModelOutline
    from pennyweight.models.rounded import WeightType
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native import _native
    from pennyweight.prefix_cache import PrefixCache
    from pennyweight.text.tokenizer import Tokenizer


class Plan(Protocol):
    """How much memory a model gets; `MemoryPlan` is one. `admit` comes first."""

    def admit(self, outline: ModelOutline) -> None: ...

    def pool(self, spec: ModelSpec, *, context: int | None, parallel: int | None) -> PoolSize: ...


def compose(
    path: Path,
    plan: Plan,
    encoder: EncoderSlot,
    *,
    name: str | None = None,
    context: int | None,
    parallel: int | None,
    threads: int | None,
    weights: WeightType | None = None,
    kv_format: KvFormat = "int8",
    batch_share: float,
    spilled: PrefixCache | None = None,
    progress: Progress | None,
    loading: Callable[..., LoadedModel] | None = None,
    reading: Callable[[Mapping[str, Any]], Tokenizer] | None = None,
) -> Engine:
    """An engine over the model at `path`, called `name` (None: as its file says).

    `loading` stands in for `models.load.load`, `reading` for `Tokenizer.from_metadata`; prefixes go to
    `spilled`. Raises ModelFileError, ConfigError.
    """
    # Imported here, so that importing this module stays cheap.
    from pennyweight.engine.loop import StepLoop
    from pennyweight.models.load import load
    from pennyweight.native import _native
    from pennyweight.prefix_cache import page_folder
    from pennyweight.text.tokenizer import Tokenizer

    report, admit = stage_progress(progress, "load"), _admission(plan, threads, progress)
    model = (loading or load)(
        path, context=context, weights=weights, kv_format=kv_format, progress=report, admit=admit
    )
    model = replace(model, name=name or model.name)
    tokenizer = (reading or Tokenizer.from_metadata)(model.metadata)
    size = plan.pool(model.spec, context=context, parallel=parallel)
    adapters = _adapters(model, size)
    decoder = _decoder(model, size, threads)
    loop = StepLoop(
        decoder,
        _native,
        limits=_limits(model, size, batch_share),
        end_tokens=frozenset(tokenizer.end_token_ids),
        adapters=adapters,
        cores=encoder.cores,
        folder=page_folder(spilled, model, weights=weights, page_bytes=decoder.page_bytes),
    )
    return Engine(
        model=model.without_lists(),
        loop=loop,
        answerer=_answerer(model, loop, tokenizer, adapters, size),
        adapters=adapters,
        context=size.context,
        encoder=encoder,
    )


def _limits(model: LoadedModel, size: PoolSize, batch_share: float) -> Limits:
    from pennyweight.engine.limits import Limits

    return Limits(
        vocab_size=model.spec.vocab_size,
        context_length=size.context,
        num_pages=size.num_pages,
        remedy=size.remedy,
        batch_share=batch_share,
    )


def _answerer(
    model: LoadedModel, loop: StepLoop, tokenizer: Tokenizer, adapters: AdapterPool, size: PoolSize
) -> Answerer:
    from pennyweight.answers.answer import Answerer
    from pennyweight.text.template import ChatTemplate
    from pennyweight.text.tools.detect import find_dialect

    return Answerer(
        engine=loop,
        tokenizer=tokenizer,
        template=ChatTemplate.from_metadata(model.metadata),
        model_name=model.name,
        model_hash=model.content_hash,
        context=size.context,
        context_remedy=size.remedy,
        kv_format=model.spec.kv_format,
        vocab_size=model.spec.vocab_size,
        dialect=find_dialect(model.metadata),
        adapters=adapters,
    )


def _adapters(model: LoadedModel, size: PoolSize) -> AdapterPool:
    from pennyweight.engine.adapters import AdapterLimits, AdapterPool
    from pennyweight.models.adapter.base import BaseCheck
    from pennyweight.models.adapter.pack import pack_adapter

    base = BaseCheck(name=model.name, content_hash=model.content_hash)
    make = partial(pack_adapter, targets=model.adapter_targets, model=model.model, base=base)
    return AdapterPool(make, limits=AdapterLimits(max_bytes=size.adapter_bytes))


def _decoder(model: LoadedModel, size: PoolSize, threads: int | None) -> _native.Decoder:
    from pennyweight.native import _native

    try:
        return _native.Decoder(
            model.model,
            num_pages=size.num_pages,
            num_threads=threads or 0,
            kv_format=model.spec.kv_format,
        )
    except (MemoryError, RuntimeError, ValueError) as error:  # memory or threads the system does not give
        raise ConfigError(
            f"the engine could not start: {error}; lower context, parallel or threads"
        ) from error


def _admission(plan: Plan, threads: int | None, progress: Progress | None) -> Callable[[ModelOutline], None]:
    """Lets `plan` judge a model before anything of it is read, then tells what it will take."""

    def admit(outline: ModelOutline) -> None:
        from pennyweight.memory_need import memory_need
        from pennyweight.system_memory import available_memory, resident_memory

        plan.admit(outline)
        if progress is not None:
            held = resident_memory()
            need = memory_need(outline, resident_bytes=held, threads=threads or useful_threads())
            progress("memory", need.total_bytes - held, available_memory())

    return admit
