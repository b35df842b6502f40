"""An order becomes an installed model: all its files, checked, or nothing that anybody could mistake for one.

Whatever the source is, the way in is the same: is it here already, may it have the name, is there room on
the disk; then every file through a `Receiver`, the last move makes it visible, and what it was is written
down. An order that fails keeps what has arrived; the same order goes on from there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.errors import FetchError
from pennyweight.models.cache import models_folder, place, resumable_folder
from pennyweight.models.catalog import CATALOG
from pennyweight.models.gguf import shard_paths
from pennyweight.models.huggingface.shards import is_folder
from pennyweight.models.local import installed_paths
from pennyweight.models.pulled import Pulled, PulledFile, read_pulled, write_pulled
from pennyweight.models.receiver import Receiver, file_sha256

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.models.fetch_pypi import Report

Progress = Callable[[int, int], None]
"""Called with bytes that are here and bytes in all."""


_NAME: Final = re.compile(r"\w[\w .+-]{0,199}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One file. `target` is relative to the folder of models; `receive` brings the bytes.

    Without `sha256` and `git_blob` only the size is checked. One with a `check`, which raises ModelFileError
    for what this engine does not run, is fetched before the others.
    """

    target: str
    size: int
    receive: Callable[[Receiver, Report], None]
    sha256: str | None = None
    git_blob: str | None = None
    check: Callable[[Path], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A model to be had. `items` begins with the file it is opened by; see `Pulled` for the rest."""

    name: str
    items: tuple[Item, ...]
    asked: str
    source: str
    key: str
    commit: str = ""
    licence: str = ""

    @property
    def num_bytes(self) -> int:
        return sum(item.size for item in self.items)


def deliver(order: Order, *, replace: bool = False, progress: Progress | None = None) -> Path:
    """The path of the installed model, fetched if it is not here. FetchError says what failed and what next;
    ModelFileError that this engine does not run it.

    `replace` lets it take the place of another model of its name.
    """
    if order.name in CATALOG or not _NAME.fullmatch(order.name):
        why = "is a name of the catalog" if order.name in CATALOG else "cannot be the name of a model"
        raise FetchError(f"{order.name!r} {why}; give another with --name")
    folder = models_folder()
    first = folder / order.items[0].target
    try:
        present = _present(order, folder)
        if present is None and not replace:
            _check_name(order, folder)
        with resumable_folder(folder, order.key) as work:
            if present is None:
                present = _receive_all(order, work, progress)
                _place_all(order, work, folder)
            write_pulled(_record(order, present), work=work)
    except BlockingIOError as error:
        raise FetchError(f"{order.name} is just being fetched by another process; wait for it") from error
    except OSError as error:
        problem = error.strerror or error
        raise FetchError(f"{order.name} could not be stored in {folder}: {problem}") from error
    return first


def is_unchanged(pulled: Pulled) -> bool:
    """Whether all its files are here with the bytes they came with."""
    folder = models_folder()
    found = [file_sha256(folder / file.path, size=file.size, sha256=file.sha256) for file in pulled.files]
    return None not in found


def _present(order: Order, folder: Path) -> tuple[PulledFile, ...] | None:
    """What is here, if it is exactly what was ordered; None if it must be fetched."""
    known = read_pulled(order.name)
    if known is not None and known.key == order.key and is_unchanged(known):
        return known.files
    found = []
    for item in order.items:
        if item.sha256 is None and item.git_blob is None:
            return None  # bytes of the same number may be others
        path = folder / item.target
        digest = file_sha256(path, size=item.size, sha256=item.sha256, git_blob=item.git_blob)
        if digest is None:
            return None
        found.append(PulledFile(path=item.target, size=item.size, sha256=digest))
    return tuple(found)


def _check_name(order: Order, folder: Path) -> None:
    """Raise FetchError if another model has the name, or something else a file's place."""
    taken = installed_paths().get(order.name)
    if taken is None:
        taken = next((folder / item.target for item in order.items if (folder / item.target).exists()), None)
    if taken is None:
        return
    known = read_pulled(order.name)
    origin = f", from {known.source}" if known is not None else ""
    raise FetchError(
        f"{taken} is there already with other bytes{origin}; --replace takes {order.source} in its place, "
        "--name NAME keeps both"
    )


def _receive_all(order: Order, work: Path, progress: Progress | None) -> tuple[PulledFile, ...]:
    _check_space(order, work)
    files, before = [], 0
    for item in sorted(order.items, key=lambda item: item.check is None):

        def report(received: int, before: int = before) -> None:
            if progress is not None:
                progress(before + received, order.num_bytes)

        path = work / item.target
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            digest = _receive(item, path, report)
        except FetchError as error:
            kept = "; what has arrived is kept, and the same command goes on from there"
            problem = f"{path.name} could not be fetched: {error.message}"
            raise FetchError(problem + (kept if _bytes_in(work) else "")) from error
        if item.check is not None:
            item.check(path)
        files.append(PulledFile(path=item.target, size=item.size, sha256=digest))
        before += item.size
    return tuple(files)


def _receive(item: Item, path: Path, report: Report) -> str:
    with Receiver(path, size=item.size, sha256=item.sha256, git_blob=item.git_blob, resume=True) as receiver:
        report(receiver.received)
        item.receive(receiver, report)
        return receiver.finish()


def _check_space(order: Order, work: Path) -> None:
    needed = order.num_bytes - _bytes_in(work)
    free = shutil.disk_usage(work).free
    if free < needed:
        raise FetchError(
            f"{order.name} needs {needed / 1e6:,.0f} MB of disk and {work.parent} has {free / 1e6:,.0f} MB "
            "free; remove a model with `penny rm`, or point XDG_CACHE_HOME at a larger disk"
        )


def _bytes_in(work: Path) -> int:
    return sum(path.stat().st_size for path in work.rglob("*") if path.is_file())


def _place_all(order: Order, work: Path, folder: Path) -> None:
    """The file a model is opened by comes last: who finds it finds the others."""
    former = installed_paths().get(order.name)
    tops = {item.target.split("/")[0] for item in order.items if "/" in item.target}
    for top in tops:
        _put_aside(folder / top, work)
        place(work / top, folder / top)
    for item in reversed(order.items):
        if "/" not in item.target:
            place(work / item.target, folder / item.target)
    if former is None:
        return
    if is_folder(former):
        if former.parent.name not in tops:
            _put_aside(former.parent, work)
        return
    new = {folder / item.target for item in order.items}
    for path in shard_paths(former):
        if path not in new:
            path.unlink(missing_ok=True)


def _put_aside(folder: Path, work: Path) -> None:
    """Move a folder, or a registered one's link, to where it is deleted; what the link leads to stays."""
    if os.path.lexists(folder):
        os.rename(folder, work / f"{folder.name}.replaced")


def _record(order: Order, files: tuple[PulledFile, ...]) -> Pulled:
    return Pulled(
        name=order.name,
        asked=order.asked,
        source=order.source,
        key=order.key,
        files=files,
        commit=order.commit,
        licence=order.licence,
    )
