"""What makes a file survive a power cut: its bytes synced, then its name, in the folder that holds it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def sync_file(path: Path) -> None:
    """Return when the bytes of `path` are on the disk."""
    _sync(path)


def sync_folder(path: Path) -> None:
    """Return when the names in the folder `path` are on the disk."""
    _sync(path)


def place(source: Path, target: Path) -> None:
    """Give a synced file its name, replacing what had it, so that it is there after a power cut too."""
    os.replace(source, target)
    sync_folder(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
