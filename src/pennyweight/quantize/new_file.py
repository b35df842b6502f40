"""A file that appears under its name when it is whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from pennyweight.errors import InvalidRequestError, PennyweightError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def check_destination(path: Path, *, num_bytes: int, replace: bool) -> None:
    """InvalidRequestError for a place where a file of that size cannot be put."""
    if path.is_dir():
        raise InvalidRequestError(f"{path} is a folder; name the file that is to be written")
    if path.exists() and not replace:
        raise InvalidRequestError(f"{path} exists already; give another name, or replace it with --force")
    if not path.parent.is_dir():
        raise InvalidRequestError(f"there is no folder {path.parent} to write {path.name} into")
    stats = os.statvfs(path.parent)
    free = stats.f_bavail * stats.f_frsize
    if free < num_bytes:
        raise InvalidRequestError(
            f"{path.name} takes {num_bytes / 1e6:,.0f} MB, but {path.parent} has {free / 1e6:,.0f} MB free"
        )


@contextmanager
def new_file(path: Path, *, replace: bool) -> Iterator[BinaryIO]:
    """A file to write; it gets its name when the context ends without an exception.

    A file that has appeared under that name meanwhile is left alone unless `replace`.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _failure(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fchmod(descriptor, 0o666 & ~_umask())  # a temporary file is for its owner alone
            os.fsync(descriptor)
        if path.exists() and not replace:
            raise InvalidRequestError(f"{path} was made by somebody else meanwhile; it is left alone")
        os.replace(temporary, path)
    except OSError as error:
        raise _failure(path, error) from error
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)


def _umask() -> int:
    """The process's mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _failure(path: Path, error: OSError) -> PennyweightError:
    return PennyweightError(f"{path} cannot be written: {error.strerror}")
