"""Orders for a model behind a URL, or somewhere on this machine: copied, checked, called as its file is."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from pennyweight.errors import FetchError
from pennyweight.models import fetch_http
from pennyweight.models.delivery import Item, Order
from pennyweight.models.gguf import model_stem, shard_paths
from pennyweight.models.huggingface.shards import FOLDER_FILES, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.models.fetch_pypi import Report
    from pennyweight.models.receiver import Receiver

_MAGIC: Final = b"GGUF"
_LARGEST_BYTES: Final = 2**40  # more than any model for one machine; a server may announce anything


def url_order(url: str, *, name: str | None, sha256: str | None) -> Order:
    """A GGUF file behind an http(s) address, all parts of a split one. FetchError for anything else."""
    fetch_http.check_address(url)
    path = PurePosixPath(unquote(urlsplit(url).path))
    if path.suffix != ".gguf":
        raise FetchError(f"{url} is not the address of a GGUF file, which ends in .gguf")
    shards = [str(shard.name) for shard in shard_paths(Path(path.name))]
    if path.name != shards[0]:
        raise FetchError(f"{path.name} is a part of a split model; give the address of {shards[0]}")
    _check_single(shards, sha256)
    stem = model_stem(Path(path.name))
    items, versions = [], []
    for number, shard in enumerate(shards, start=1):
        address = url.replace("-00001-of-", f"-{number:05}-of-") if len(shards) > 1 else url
        told = fetch_http.announcement(address)
        _check_start(address, told)
        location = fetch_http.Location(url=address, etag=told.etag)
        versions.append(f"{address} {told.etag} {told.size}")
        target = (name or stem) + shard.removeprefix(stem)
        receive = partial(_receive_url, location)
        items.append(Item(target=target, size=told.size, sha256=sha256, receive=receive))
    plain = urlsplit(url)._replace(query="", fragment="").geturl()  # a query may hold somebody's key
    key = hashlib.sha256(" ".join(versions).encode()).hexdigest()
    return Order(name=name or stem, items=tuple(items), asked=plain, source=plain, key=key)


def path_order(path: Path, *, name: str | None, sha256: str | None) -> Order:
    """A GGUF file with its parts, or a folder of safetensors. FetchError for anything else."""
    if path.is_dir() or path.name in FOLDER_FILES:
        folder = (path if path.is_dir() else path.parent).absolute()
        files = _folder_files(folder)
        _check_single([str(file) for file in files], sha256)
        called = name or folder.name
        targets = [f"{called}/{file.relative_to(folder).as_posix()}" for file in files]
    elif path.suffix == ".gguf":
        files = shard_paths(path)
        _check_single([str(file) for file in files], sha256)
        stem = model_stem(path)
        called = name or stem
        targets = [called + file.name.removeprefix(stem) for file in files]
    else:
        raise FetchError(f"{path} is neither a GGUF file nor a folder with {FOLDER_FILES[0]}")
    items, versions = [], []
    for file, target in zip(files, targets, strict=True):
        size, version = _stated(file)
        versions.append(version)
        items.append(Item(target=target, size=size, sha256=sha256, receive=partial(_copy, file)))
    where = str(path.absolute())
    return Order(name=called, items=tuple(items), asked=where, source=where, key=" ".join(versions))


def _folder_files(folder: Path) -> list[Path]:
    """The file it is opened by first. Nothing hidden, and no pickles."""
    first = next((folder / name for name in FOLDER_FILES if (folder / name).is_file()), None)
    if first is None or not settings_of(first).is_file():
        raise FetchError(f"{folder} has no {FOLDER_FILES[0]} with a config.json")
    wanted = (".safetensors", ".json", ".jinja", ".txt", ".model", ".v3", ".v7")
    inside = [
        file
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.suffix in wanted and not file.relative_to(folder).parts[0].startswith(".")
    ]
    return [first, *(file for file in inside if file != first)]


def _stated(file: Path) -> tuple[int, str]:
    """The size of a file, and a text that changes with its content."""
    try:
        found = file.stat()
    except OSError as error:
        raise FetchError(f"{file} cannot be read: {error.strerror}") from error
    return found.st_size, f"{file.absolute()} {found.st_size} {found.st_mtime_ns}"


def _check_single(files: Sequence[str], sha256: str | None) -> None:
    if sha256 is not None and len(files) > 1:
        raise FetchError(f"--sha256 is of one file, and this model has {len(files)}")


def _check_start(url: str, told: fetch_http.Announcement) -> None:
    if not told.start.startswith(_MAGIC):
        raise FetchError(f"{url} is no GGUF file: it begins with {told.start!r}")
    if told.size > _LARGEST_BYTES:
        raise FetchError(f"{url} is said to have {told.size} bytes; the most is {_LARGEST_BYTES}")


def _receive_url(location: fetch_http.Location, receiver: Receiver, report: Report) -> None:
    if location.etag is None:
        receiver.restart()  # nothing says that what an earlier try left is of the same version
    fetch_http.receive(lambda: location, receiver, report=report)


def _copy(path: Path, receiver: Receiver, report: Report) -> None:
    receiver.restart()
    try:
        with path.open("rb") as file:
            receiver.copy(file)
    except OSError as error:
        raise FetchError(f"{path} cannot be read: {error.strerror}") from error
    report(receiver.received)
