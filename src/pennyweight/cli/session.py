"""An engine opened for a command, with the settings it was started under and the sampling its model likes."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from pennyweight.cli.terminal import progress_bars
from pennyweight.cli.tuned_model import named
from pennyweight.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pennyweight.answers.options import Options
    from pennyweight.api import Engine


@contextmanager
def opened(
    flags: Mapping[str, object],
    *,
    check: Callable[[], None] = lambda: None,
    embedding_model: str | None = None,
    adapter: str | None = None,
) -> Iterator[Engine]:
    """The engine that settings and `flags` describe, closed afterwards.

    `check` is called while it loads; what it raises ends the loading. `embedding_model` is opened too, and
    `adapter`, a folder, is loaded.
    """
    settings = Settings.load(flags)
    from pennyweight.api import Engine

    with named(settings, adapter) as asked, progress_bars() as show:

        def progress(stage: str, done: int, total: int) -> None:
            check()
            show(stage, done, total)

        engine = Engine.open(
            asked.model,
            context=settings.context,
            parallel=settings.parallel,
            memory=settings.memory,
            threads=settings.threads,
            weights=settings.weights,
            kv_cache_dtype=settings.kv_cache_dtype,
            batch_share=settings.batch_share,
            embedding_model=embedding_model,
            adapters=asked.adapters,
            prefix_cache_dir=settings.prefix_cache_dir,
            prefix_cache_size=settings.prefix_cache_size,
            progress=progress,
        )
    gc.freeze()  # what is here now is here to stay, and is not looked through any more
    gc.enable()
    with engine:
        yield engine


def answering(engine: Engine) -> str:
    """The name of what answers: the adapter, if one was given, else the model."""
    return next(iter(engine.adapter_names), engine.name)


def check_sampling(given: Mapping[str, object]) -> dict[str, object]:
    """The sampling options given; a value out of range is wrong usage, told before a model is loaded."""
    from pennyweight.answers.fields import ParameterError
    from pennyweight.answers.sampling_fields import options_from_keywords

    named = {name: value for name, value in given.items() if value is not None and value != []}
    try:
        options_from_keywords(named)
    except ParameterError as error:
        raise typer.BadParameter(error.message) from error
    return named


def options_for(engine: Engine, named: Mapping[str, object]) -> Options:
    """What the person asked for, over what the model's makers advise."""
    from pennyweight.answers.sampling_fields import options_from_keywords

    return options_from_keywords({**engine.suggested_sampling, **named})
