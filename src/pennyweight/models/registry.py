"""Models that stay where they are and get a name of their own: links in the folder of installed models.

A link is all that is kept, so a registered model is found, listed and served like an installed one, and
removing it leaves the file alone. A copy is an installed model like any other.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pennyweight.errors import ConfigError, ModelFileError, ModelNotFoundError
from pennyweight.models.cache import models_folder, place, work_folder
from pennyweight.models.catalog import CATALOG
from pennyweight.models.gguf import shard_paths
from pennyweight.models.huggingface.shards import is_folder
from pennyweight.models.local import inspect, installed_paths, model_name, resolve
from pennyweight.models.recommended import RECOMMENDED

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def register(name: str, source: str | os.PathLike[str], *, copies: bool = False) -> Path:
    """Make the model file or folder at `source`, or an installed model of that name, known as `name`.

    `copies` keeps a copy of its own. Returns what it is opened by. Raises ConfigError for a name that cannot
    be had, ModelNotFoundError, ModelFileError.
    """
    text = os.fspath(source)
    path = resolve(_as_path(text) if Path(text).exists() else text)
    _check_name(name)
    found = inspect(path)
    if found.problem is not None:
        raise ModelFileError(found.problem)
    targets = _targets(name, path)
    for target in targets.values():
        if os.path.lexists(target):
            raise ConfigError(f"{name} is the name of another model; remove it with `penny rm {name}`")
    first = next(iter(targets.values()))
    opened = first / path.name if is_folder(path) else first
    if model_name(opened) != name:
        raise ConfigError(f"{name} would be read as {model_name(opened)}; choose another name")
    try:
        _put(targets, copies=copies)
    except OSError as error:
        raise ConfigError(f"{name} cannot be registered: {error.strerror or error}") from error
    return opened


def unregister(name: str) -> None:
    """Forget a registered model; what it stood for stays. Raises ModelNotFoundError, also for a copy."""
    folder = models_folder()
    links = [folder / name, folder / f"{name}.gguf"]
    path = installed_paths().get(name)
    if path is not None and not is_folder(path):
        links += shard_paths(path)
    gone = [link for link in links if link.is_symlink()]
    for link in gone:
        link.unlink(missing_ok=True)
    if not gone:
        remedy = "; it has a file of its own: delete it with `penny rm`" if path is not None else ""
        raise ModelNotFoundError(f"no model is registered as {name!r}{remedy}", param="model")


def _as_path(text: str) -> Path:
    """With a folder in front: a bare name would be looked for among the installed models."""
    return Path(text).expanduser().absolute()


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name) or name.endswith(".gguf"):
        raise ConfigError(
            f"{name!r} cannot be a model's name; use letters, digits, dots, hyphens and underscores, and not "
            "the ending .gguf"
        )
    if name in CATALOG or name in RECOMMENDED:
        raise ConfigError(f"{name} is the name of a model that `penny pull` knows; choose another one")
    if name in installed_paths():
        raise ConfigError(f"{name} is the name of another model; remove it with `penny rm {name}`")


def _targets(name: str, path: Path) -> Mapping[Path, Path]:
    """What is linked or copied, and to where, the first file first."""
    folder = models_folder()
    if is_folder(path):
        return {path.parent.absolute(): folder / name}
    shards = shard_paths(path)
    if len(shards) == 1:
        return {path.absolute(): folder / f"{name}.gguf"}
    count = f"{len(shards):05}"
    return {
        shard.absolute(): folder / f"{name}-{number:05}-of-{count}.gguf"
        for number, shard in enumerate(shards, start=1)
    }


def _put(targets: Mapping[Path, Path], *, copies: bool) -> None:
    """The first file last: a model is there when that is."""
    with work_folder(models_folder()) as work:
        for source, target in reversed(list(targets.items())):
            made = work / target.name
            if not copies:
                made.symlink_to(source.resolve() if source.is_symlink() else source)
            elif source.is_dir():
                shutil.copytree(source, made)
            else:
                shutil.copyfile(source, made)
            if copies:
                _sync(made)
            place(made, target)


def _sync(path: Path) -> None:
    for file in [path, *path.rglob("*")]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
