"""Results of an offline batch as they come, in a file that a killed process can be followed by.

One record a line: the line's number, whether it succeeded, and the result. What was being written when the
process ended is cut off when the file is opened again.
"""

from __future__ import annotations

import fcntl
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from pennyweight.errors import ConfigError
from pennyweight.store.durability import sync
from pennyweight.store.failpoints import failpoint

if TYPE_CHECKING:
    from pathlib import Path

_RECORD: Final = re.compile(rb"(\d+) ([+-]) (\{.*\}\n)", re.DOTALL)
_HEAD: Final = "pennyweight batch of %s\n"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a result is in the journal."""

    offset: int
    length: int
    succeeded: bool


class Journal:
    """`done` holds the numbers of the lines that have a result. One process at a time."""

    def __init__(self, path: Path, *, digest: str) -> None:
        """Open or begin the journal of the input with this digest. ConfigError if it is another's."""
        self.done: dict[int, Place] = {}
        self._path = path
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
        try:
            self._lock()
            self._recover((_HEAD % digest).encode())
        except BaseException:
            self._file.close()
            raise

    def add(self, number: int, line: bytes, *, succeeded: bool) -> None:
        """Write one result; `sync` makes it durable."""
        head = b"%d %s " % (number, b"+" if succeeded else b"-")
        self._file.seek(self._end)
        self._file.write(head + line)
        self._file.flush()
        failpoint("offline.answered")
        self.done[number] = Place(self._end + len(head), len(line), succeeded)
        self._end += len(head) + len(line)

    def sync(self) -> None:
        """Everything added survives a power cut. From any thread."""
        os.fsync(self._file.fileno())

    def line(self, number: int) -> bytes:
        """The result of a line, with its line end."""
        place = self.done[number]
        self._file.seek(place.offset)
        return self._file.read(place.length)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            message = f"another process is answering into {self._path}; wait for it, or end it"
            raise ConfigError(message) from error

    def _recover(self, head: bytes) -> None:
        first = self._file.readline()
        if not first.endswith(b"\n"):
            self._begin(head)
        elif first != head:
            message = (
                f"{self._path} holds answers to another input, or to this one before it was changed; "
                "remove it, or name another output"
            )
            raise ConfigError(message)
        self._end = len(head)
        while record := _RECORD.fullmatch(self._file.readline()):
            number, sign, line = record.groups()
            start = self._end + record.start(3)
            self.done[int(number)] = Place(start, len(line), sign == b"+")
            self._end = start + len(line)
        self._file.truncate(self._end)

    def _begin(self, head: bytes) -> None:
        """The name is durable before there is anything to lose; `sync` is enough from then on."""
        self._file.seek(0)
        self._file.write(head)
        self._file.flush()
        self.sync()
        sync(self._path.absolute().parent)
        failpoint("offline.begun")
