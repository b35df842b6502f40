"""The models of one server, from its settings: the first is loaded now, others when they are asked for."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.config import NO_MODEL
from pennyweight.encoder import EncoderSlot, check_encoder
from pennyweight.engine.core_turns import CoreTurns
from pennyweight.errors import ConfigError, ModelNotFoundError
from pennyweight.local_models import LocalModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pennyweight.config import Settings
    from pennyweight.residents.residents import Residents

    Progress = Callable[[str, int, int], None]  # what is being done, bytes done and in total


def local_models(settings: Settings) -> list[LocalModel]:
    """Everything that is served from here, the first one first. ConfigError for a name twice."""
    sources = [] if settings.model == NO_MODEL else [settings.model]
    models = [LocalModel(name=served_name(source), source=source) for source in sources]
    for source in settings.further_models:
        models.append(LocalModel(name=served_name(source), source=source))
    models += settings.models.values()
    if settings.all_installed:
        names = {model.name for model in models}
        models += [LocalModel(name=name, source=name) for name in installed_decoders() if name not in names]
    counts = Counter(model.name for model in models)
    if twice := [name for name, count in counts.items() if count > 1]:
        raise ConfigError(
            f"two models are served as {twice[0]!r}; give one another name in a table [models.NAME]"
        )
    return models


def served_name(source: str) -> str:
    """What a model given by name or path is served as, whether it is there or not."""
    from pennyweight.models.catalog import CATALOG
    from pennyweight.models.local import model_name, resolve

    if source in CATALOG:
        return source
    try:
        return model_name(resolve(source))
    except ModelNotFoundError:
        return model_name(Path(source))


def installed_decoders() -> list[str]:
    """The names of installed models that answer."""
    from pennyweight.models.architectures import ARCHITECTURES
    from pennyweight.models.local import installed_models

    return [
        model.name
        for model in installed_models()
        if model.problem is None and model.architecture in ARCHITECTURES
    ]


@contextmanager
def open_models(settings: Settings, *, progress: Progress) -> Iterator[tuple[Residents | None, EncoderSlot]]:
    """The models that answer here (None: there are none), the first one loaded, and the encoder.

    Raises what `Engine.open` does, also for a further model's name that means nothing; what else ails one is
    told to those who ask for it.
    """
    from pennyweight.memory import parse_memory

    ceiling = None if settings.memory is None else parse_memory(settings.memory)
    models = local_models(settings)
    _check_names(settings.further_models)
    cores = CoreTurns(batch_share=settings.batch_share / 100)
    if settings.embedding_model is not None:
        check_encoder(settings.embedding_model)  # a misspelt one is told before anything is fetched
    encoder = EncoderSlot(
        settings.embedding_model,
        threads=settings.threads,
        cores=cores,
        offered=ceiling is None or settings.embedding_model is not None,
    )
    try:
        if settings.embedding_model is not None:
            # before it is measured what is left
            encoder.warm_up(progress=lambda done, total: progress("encoder", done, total))
        if not models:
            yield None, encoder
            return
        residents = _residents(settings, models, ceiling, cores)
        try:
            if settings.model != NO_MODEL:
                residents.warm(models[0].name, progress=progress)
            yield residents, encoder
        finally:
            residents.close()
    finally:
        encoder.close()


def _check_names(sources: Iterable[str]) -> None:
    """Raise ModelNotFoundError for a name that means nothing; a file may come later than the server."""
    from pennyweight.models.catalog import CATALOG
    from pennyweight.models.local import resolve

    for source in sources:
        if source not in CATALOG and Path(source).name == source and Path(source).suffix != ".gguf":
            resolve(source)


def _residents(
    settings: Settings, models: list[LocalModel], ceiling: int | None, cores: CoreTurns
) -> Residents:
    from pennyweight.api import active_target
    from pennyweight.kv_format import check_kv_format
    from pennyweight.models.rounded import check_weight_type
    from pennyweight.prefix_cache import prefix_cache
    from pennyweight.residents.engine_opener import EngineOpener
    from pennyweight.residents.place import ResidentLimits
    from pennyweight.residents.residents import Residents
    from pennyweight.system_memory import resident_memory

    active_target()  # a forced one that this machine lacks is told before anything is fetched or loaded
    opener = EngineOpener(
        models=models,
        ceiling_bytes=ceiling,
        program_bytes=resident_memory(),
        context=settings.context,
        parallel=settings.parallel,
        threads=settings.threads,
        weights=check_weight_type(settings.weights),
        kv_format=check_kv_format(settings.kv_cache_dtype),
        spilled=prefix_cache(settings.prefix_cache_dir, settings.prefix_cache_size),
        batch_share=settings.batch_share / 100,
        cores=cores,
    )
    limits = ResidentLimits(patience_s=settings.load_timeout, unload_after_s=settings.unload_after)
    return Residents(models, opener, limits=limits)
