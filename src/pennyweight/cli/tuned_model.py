"""What `--model` and `--adapter` of a command that answers by itself stand for: a model and its adapters."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pennyweight.config import Settings

_TUNED = "ft:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """`adapters` are folders by the names they answer to; they are there as long as the context lasts."""

    model: str | None
    adapters: Mapping[str, str] = field(default_factory=dict)


@contextmanager
def named(settings: Settings, adapter: str | None) -> Iterator[Named]:
    """The model of `settings` with the folder `adapter`, or the one that fine-tuning made here, by its name.

    Raises ConfigError, ModelNotFoundError.
    """
    model = settings.model
    if model is None or not model.startswith(_TUNED):
        folders = {} if adapter is None else {Path(adapter).absolute().name or "adapter": adapter}
        yield Named(model=model, adapters=folders)
        return
    if adapter is not None:
        raise ConfigError(f"{model} has an adapter of its own; --adapter needs the model it was tuned from")
    from tempfile import TemporaryDirectory

    from pennyweight.cli.tuning_desk import tuning_desk

    with tuning_desk(settings, works=False) as desk, TemporaryDirectory(prefix="pennyweight-") as folder:
        tuned = desk.copy_model(model, Path(folder))
        yield Named(model=desk.base_of(tuned), adapters={model: folder})
