"""Spilled pages of one model in a folder that several models and processes may share.

A page is one file, written beside its place, synced and renamed into it: it is whole or not there. What is
read is compared with what was asked for; anything else is removed and was never there. Names are kept in
memory, so asking whether a page is there costs no disk access; those of other processes are learnt with the
next look at the folder.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS
from pennyweight.engine.page_file import MAX_HEADER_BYTES
from pennyweight.engine.page_trim import (
    SUBFOLDER_PREFIX,
    clean,
    file_name,
    spilled_pages,
    temporary_name,
    trim,
)
from pennyweight.engine.prefix_tree import MIN_TAIL_TOKENS, common_length
from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pennyweight.engine.page_file import PageFormat
    from pennyweight.engine.page_label import PageLabel

LEAST_FREE_BYTES = 2**30
MAX_SIBLINGS = 16  # continuations of one text that are looked at for a common start
LOOK_AFTER_S = 60.0  # other processes write too
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillLimits:
    """Where pages are spilled to. `limit_bytes` counts the pages of all models in `root`.

    Nothing is written while the disk has less than `least_free_bytes` free.
    """

    root: Path
    limit_bytes: int
    least_free_bytes: int = LEAST_FREE_BYTES


class PageFolder:
    """Reads and writes pages of one format. From any thread; reading and writing block on the disk."""

    def __init__(self, limits: SpillLimits, page_format: PageFormat) -> None:
        """Makes the folder. ConfigError if it cannot be used."""
        self.page_bytes = page_format.page_bytes
        self._format = page_format
        self._limits = limits
        self._folder = limits.root / f"{SUBFOLDER_PREFIX}{page_format.identity.hex()[:24]}"
        self._lock = threading.Lock()  # guards the two below
        self._names: dict[bytes, dict[bytes, None]] = {}  # digests of pages, by that of the text before
        self._promised: set[tuple[bytes, bytes]] = set()  # named already, not yet written
        self._written_bytes = 0  # since the last look at the folder
        self._looked_s = time.monotonic()
        self._check_limit()
        try:
            self._make()
            clean(limits.root, now_s=time.time())
            self._make()
            trim(limits.root, limit_bytes=limits.limit_bytes)
        except OSError as error:
            raise ConfigError(
                f"the folder {limits.root} cannot hold spilled prefixes: {error}; name another with "
                "--prefix-cache-dir"
            ) from error
        self._learn()

    def holds(self, label: PageLabel) -> bool:
        """Whether the page is there, or about to be, as far as is known."""
        return label.digest in self._names.get(label.parent, ())

    def holds_more(self, parent: bytes) -> bool:
        """Whether a page is known that continues the text with digest `parent`."""
        return bool(self._names.get(parent))

    def promise(self, label: PageLabel) -> None:
        """`label` will be written, or forgotten."""
        with self._lock:
            self._promised.add((label.parent, label.digest))
            self._names.setdefault(label.parent, {})[label.digest] = None

    def forget(self, label: PageLabel) -> None:
        """The page is not there."""
        with self._lock:
            self._promised.discard((label.parent, label.digest))
            self._forget(label.parent, label.digest)

    def read(self, label: PageLabel) -> memoryview | None:
        """The page of `label`; None if there is none, or none that can be trusted, which is removed."""
        path = self._path(label.parent, label.digest)
        data = _read(path, self._format.file_bytes(len(label.tokens)))
        page = None if data is None else self._format.decode(label, data)
        if page is None:
            self._discard(path, label.parent, label.digest)
            return None
        with suppress(OSError):
            os.utime(path)
        return page

    def read_longest(self, before: PageLabel, run: Sequence[int]) -> tuple[PageLabel, memoryview] | None:
        """Of the pages behind the whole page `before` the one that starts most like `run`, if any does."""
        with self._lock:
            newest = [*self._names.get(before.digest, ())][-MAX_SIBLINGS:]
        best, longest = None, MIN_TAIL_TOKENS - 1
        for digest in reversed(newest):
            label = self._label(before, digest)
            if label is None:
                continue
            shared = common_length(label.tokens, tuple(run))
            if shared > longest:
                best, longest = label, shared
        page = None if best is None else self.read(best)
        return None if best is None or page is None else (best, page)

    def write(self, label: PageLabel, page: bytes) -> None:
        """Keep a page. Raises OSError, also if the disk is too full; then nothing was written."""
        self._make()  # somebody may have removed it, which is how one deletes all
        free = shutil.disk_usage(self._limits.root).free
        if free < self._limits.least_free_bytes + self.page_bytes:
            raise OSError(errno.ENOSPC, f"{free // 2**20:,} MiB are free on the disk")
        temporary = self._folder / temporary_name()
        try:
            with os.fdopen(os.open(temporary, _CREATE_FLAGS, 0o600), "wb", buffering=0) as file:
                for part in self._format.encode(label, page):
                    _write_all(file.fileno(), part)
                os.fsync(file.fileno())
            temporary.replace(self._path(label.parent, label.digest))
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        self.promise(label)
        with self._lock:
            self._promised.discard((label.parent, label.digest))
        self._written_bytes += self._format.file_bytes(len(label.tokens))
        self._look()

    def _check_limit(self) -> None:
        least = 16 * self._format.file_bytes(PAGE_TOKENS)
        if self._limits.limit_bytes < least:
            raise ConfigError(
                f"prefix_cache_size is {self._limits.limit_bytes} bytes; {PAGE_TOKENS} tokens of this model "
                f"take {self.page_bytes}: give it at least {least}"
            )

    def _make(self) -> None:
        """Both folders, for this user alone; what stands there already must be a folder of this user's."""
        self._limits.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        status = self._folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or not _is_own(status):
            raise OSError(errno.EPERM, f"{self._folder} is not a folder of this user")

    def _look(self) -> None:
        """Now and then: remove what is too much, learn what others have written and removed."""
        now_s = time.monotonic()
        if self._written_bytes <= self._limits.limit_bytes // 16 and now_s < self._looked_s + LOOK_AFTER_S:
            return
        self._written_bytes, self._looked_s = 0, now_s
        trim(self._limits.root, limit_bytes=self._limits.limit_bytes)
        self._learn()

    def _learn(self) -> None:
        names: dict[bytes, dict[bytes, None]] = {}
        for page in sorted(spilled_pages(self._folder), key=lambda page: page.used_ns):
            names.setdefault(page.parent, {})[page.digest] = None
        with self._lock:
            for parent, digest in self._promised:
                names.setdefault(parent, {})[digest] = None
            self._names = names

    def _path(self, parent: bytes, digest: bytes) -> Path:
        return self._folder / file_name(parent, digest)

    def _label(self, before: PageLabel, digest: bytes) -> PageLabel | None:
        """What the file behind `before` says it holds, if that fits its name."""
        path = self._path(before.digest, digest)
        start = _read(path, MAX_HEADER_BYTES, exact=False)
        label = None if start is None else self._format.label(start)
        wanted = (before.root, before.digest, digest)
        if label is None or (label.root, label.parent, label.digest) != wanted:
            self._discard(path, before.digest, digest)
            return None
        return label

    def _discard(self, path: Path, parent: bytes, digest: bytes) -> None:
        with self._lock:
            if (parent, digest) in self._promised:
                return  # it is on its way
            self._forget(parent, digest)
        with suppress(OSError):
            path.unlink()
        with suppress(OSError):
            path.rmdir()

    def _forget(self, parent: bytes, digest: bytes) -> None:
        siblings = self._names.get(parent, {})
        siblings.pop(digest, None)
        if not siblings:
            self._names.pop(parent, None)


def _is_own(status: os.stat_result) -> bool:
    return sys.platform == "win32" or status.st_uid == os.geteuid()


def _read(path: Path, num_bytes: int, *, exact: bool = True) -> bytes | None:
    """The first `num_bytes` of a plain file of this user's; None if it is none, or not `exact`ly as long."""
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        is_wanted = stat.S_ISREG(status.st_mode) and _is_own(status)
        if not is_wanted or (exact and status.st_size != num_bytes):
            return None
        return os.read(descriptor, num_bytes)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
