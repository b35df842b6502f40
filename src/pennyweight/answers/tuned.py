"""Models that were tuned here: a base model and an adapter under a name of their own, by project.

Who asks sees those of the own project alone; another's does not exist for it. Where they are kept is not
known here: `TunedModels` is implemented over folders given at the start, and over the store.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from pennyweight.errors import InvalidRequestError, ModelFileError
from pennyweight.models.adapter.config import check_config
from pennyweight.models.adapter.files import CONFIG_FILE, WEIGHTS_FILE, AdapterFiles, content_identity

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedModel:
    """`base` is the name of the model it was tuned from, `adapter` the identity of what was learnt.

    Equal identities compute the same. `files` gives what to load, to a thread that may wait; it raises
    ModelFileError if that is gone. `created` is in seconds since 1970.
    """

    name: str
    base: str
    adapter: str
    files: Callable[[], AdapterFiles]
    created: int
    owner: str = "pennyweight"


class TunedModels(Protocol):
    """Where tuned models are kept. `find` and `list` are quick, for any thread: event loops wait for them."""

    def find(self, name: str, project: str) -> TunedModel | None:
        """The model, if it is the project's or everybody's."""
        ...

    def list(self, project: str) -> Sequence[TunedModel]:
        """All that `find` finds, oldest first."""
        ...

    async def remove(self, name: str, project: str) -> None:
        """It is gone for new requests when this returns. Raises InvalidRequestError if it has to stay."""
        ...


class GivenAdapters:
    """Adapters in folders, by names that whoever starts the program chose. Everybody's, and in memory."""

    def __init__(self) -> None:
        self._models: dict[str, TunedModel] = {}

    def add(self, name: str, folder: Path, *, base: str) -> TunedModel:
        """Serve what is in `folder` as `name`. Raises ModelFileError if that is no adapter to run."""
        files = AdapterFiles.of(folder)
        check_config(files)
        adapter = content_identity(files)
        created = int((folder / WEIGHTS_FILE).stat().st_mtime)
        unchanged = partial(_unchanged, folder, _stamps(folder))
        model = TunedModel(name=name, base=base, adapter=adapter, files=unchanged, created=created)
        self._models[name] = model
        return model

    def forget(self, name: str) -> None:
        """`name` stands for nothing any more."""
        self._models.pop(name, None)

    def find(self, name: str, project: str) -> TunedModel | None:  # noqa: ARG002  everybody's
        return self._models.get(name)

    def list(self, project: str) -> Sequence[TunedModel]:  # noqa: ARG002  everybody's
        return [*self._models.values()]

    async def remove(self, name: str, project: str) -> None:  # noqa: ARG002  everybody's
        message = f"'{name}' was given when this server was started; start it without that --adapter."
        raise InvalidRequestError(message, param="model")


def _stamps(folder: Path) -> list[tuple[int, int, int]]:
    """What changes when one of the files does; reading them again would take as long as loading them."""
    stats = [(folder / name).stat() for name in (CONFIG_FILE, WEIGHTS_FILE)]
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in stats]


def _unchanged(folder: Path, stamps: list[tuple[int, int, int]]) -> AdapterFiles:
    files = AdapterFiles.of(folder)
    if _stamps(folder) != stamps:
        raise ModelFileError(f"the adapter {files.name} has changed on the disk; start again to serve it")
    return files


class TunedModelsOf:
    """Several places as one: the first that knows a name has it."""

    def __init__(self, *places: TunedModels) -> None:
        self._places = places

    def find(self, name: str, project: str) -> TunedModel | None:
        found = (place.find(name, project) for place in self._places)
        return next((model for model in found if model is not None), None)

    def list(self, project: str) -> Sequence[TunedModel]:
        models: dict[str, TunedModel] = {}
        for place in self._places:
            for model in place.list(project):
                models.setdefault(model.name, model)
        return [*models.values()]

    async def remove(self, name: str, project: str) -> None:
        for place in self._places:
            if place.find(name, project) is not None:
                await place.remove(name, project)
                return


NO_TUNED: Final = TunedModelsOf()
"""Where nothing is tuned."""
