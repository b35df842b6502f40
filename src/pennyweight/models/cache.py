"""The folder of installed models, and how a file gets into it whole or not at all.

A download happens in a hidden work folder of its own beside the models and is moved into place, synced, with
one `os.replace`. A work folder is locked for as long as its process lives, so whatever a killed process left
is recognised by its free lock and cleared by the next download. What is large is kept instead, for the next
try at the same bytes to go on with, and cleared when nobody came for a week.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_WORK_PREFIX: Final = ".incoming-"
_KEPT_PREFIX: Final = ".partial-"
_KEPT_S: Final = 7 * 86_400
_GATE: Final = ".lock"


def models_folder() -> Path:
    """`$XDG_CACHE_HOME/pennyweight/models`, by default under `~/.cache`; it need not exist."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # a relative value is to be ignored (XDG Base Directory Specification)
    cache = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return cache / "pennyweight" / "models"


@contextmanager
def work_folder(folder: Path) -> Iterator[Path]:
    """A locked, empty folder inside `folder`, gone afterwards. Raises OSError if it cannot be made."""
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / _GATE):  # nobody clears a folder between its making and its locking
        _clear_leftovers(folder)
        work = Path(tempfile.mkdtemp(prefix=_WORK_PREFIX, dir=folder))
        lock = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(lock)


@contextmanager
def resumable_folder(folder: Path, key: str) -> Iterator[Path]:
    """A locked folder for one download, the same for the same `key`: with what an earlier try left in it.

    Gone when the block ends well or nothing came, kept otherwise. BlockingIOError if a process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = folder / (_KEPT_PREFIX + hashlib.sha256(key.encode()).hexdigest()[:16])
    with _locked(folder / _GATE):
        _clear_leftovers(folder)
        work.mkdir(exist_ok=True)
        lock = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise
    finished = False
    try:
        yield work
        finished = True
    finally:
        with _locked(folder / _GATE):  # nobody opens it between its end and the end of its lock
            if finished or not any(path.stat().st_size for path in work.rglob("*") if path.is_file()):
                shutil.rmtree(work, ignore_errors=True)
            os.close(lock)


def place(source: Path, target: Path) -> None:
    """Move a finished, synced file to its name, so that it is there after a power cut too."""
    os.replace(source, target)
    folder = os.open(target.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _clear_leftovers(folder: Path) -> None:
    old = [work for work in folder.glob(_KEPT_PREFIX + "*") if _last_written(work) < time.time() - _KEPT_S]
    for work in (*folder.glob(_WORK_PREFIX + "*"), *old):
        try:
            lock = os.open(work, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # its process has just cleared it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue  # its process is alive
        finally:
            os.close(lock)
        shutil.rmtree(work, ignore_errors=True)


def _last_written(folder: Path) -> float:
    """Seconds since 1970."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()  # its process has just cleared it


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
