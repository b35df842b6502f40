"""What makes a file survive a power cut: its bytes synced, then its name, in the folder that holds it."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pennyweight.errors import StorageFullError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REFUSALS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}
)


@contextmanager
def storing() -> Iterator[None]:
    """Raise StorageFullError where the disk takes nothing more: full, read-only, failing, not ours."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise StorageFullError(
            f"It cannot be stored ({error.strerror}); free space in the data folder or make it writable."
        ) from error


def sync(path: Path) -> None:
    """Return when the bytes of a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(source: Path, target: Path) -> None:
    """Give a synced file its name, replacing what had it, so that it is there after a power cut too."""
    os.replace(source, target)
    sync(target.parent)


def make_folder(path: Path) -> None:
    """A folder for its owner's eyes, and those above it, that are there after a power cut too."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)
        sync(path.parent)
