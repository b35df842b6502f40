"""Lines of batches that were being answered when the process died: none may kill the server for ever.

Every line under way has a record in a small file. Whoever ends on its own terms takes its records back, so
what is found at the start was under way when the last process died, whatever killed it. Such lines are
suspects: each is next run alone, and only a death during which nothing else of any batch ran counts against
it. After `MAX_DEATHS` of these it is not run again. The file is written but never synced: it is there after
the death of the process, and a power cut accuses nobody.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal, Self

from pennyweight.errors import PennyweightError
from pennyweight.store.durability import storing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_DEATHS: Final = 3
"""Of the process, while a line ran alone; then the line fails."""
READING: Final = 0
"""The number that stands for reading a batch's input, which is no line of it."""
_RECORD_BYTES: Final = 128  # a whole number of them is a page: no death cuts one in two
_RECORDS_AHEAD: Final = 128  # room that is there before a disk is full
_State = Literal["company", "alone", "waiting"]
_Key = tuple[str, int]


class DeadlyLineError(PennyweightError):
    """The process died of this line, as far as can be known."""

    status = 500
    type = "server_error"
    code = "process_died"


class LinesUnderWay:
    """Of one process; used by one thread. A line is named by its batch's id and its number."""

    def __init__(self, path: Path) -> None:
        """What the file at `path` holds are suspects. Raises StorageFullError."""
        with storing():
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            size = max(os.fstat(self._file).st_size, _RECORD_BYTES * _RECORDS_AHEAD)
            found = os.pread(self._file, size, 0)
            os.pwrite(self._file, found.ljust(size), 0)
        self._deaths: dict[_Key, int] = {}  # of suspects
        self._places: dict[_Key, int] = {}  # in the file, of all that have a record
        self._free: list[int] = []
        self._num_records = size // _RECORD_BYTES
        for place in range(self._num_records):
            self._read(place, found[place * _RECORD_BYTES : (place + 1) * _RECORD_BYTES])

    def is_suspect(self, batch_id: str, number: int) -> bool:
        """Whether the line was under way when a process died."""
        return (batch_id, number) in self._deaths

    def refusal(self, batch_id: str, number: int) -> DeadlyLineError | None:
        """Why the line is not to be run again; None: it may be."""
        if self._deaths.get((batch_id, number), 0) < MAX_DEATHS:
            return None
        what = (
            "read this batch's input" if number == READING else "answered this line and no other of a batch"
        )
        return DeadlyLineError(
            f"The process ended {MAX_DEATHS} times while it {what}; it is not tried again. The log of the "
            "server, or of the system, may say why."
        )

    @contextmanager
    def running(self, batch_id: str, number: int) -> Iterator[None]:
        """While the line is answered; a suspect must be alone. Raises StorageFullError."""
        key = (batch_id, number)
        suspect = key in self._deaths
        self._write(key, "alone" if suspect else "company")
        try:
            yield
        finally:
            if suspect:
                self._write(key, "waiting")
            else:
                self._erase(key)

    def forget(self, batch_id: str) -> None:
        """The batch has ended."""
        for key in [key for key in self._deaths if key[0] == batch_id]:
            del self._deaths[key]
            self._erase(key)

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self, place: int, record: bytes) -> None:
        words = record.decode("ascii", "replace").split()
        if len(words) != len(("batch", "number", "deaths", "state")):
            self._free.append(place)
            return
        key = (words[0], int(words[1]))
        self._places[key] = place
        self._deaths[key] = int(words[2]) + (words[3] == "alone")
        self._write(key, "waiting")

    def _write(self, key: _Key, state: _State) -> None:
        if key not in self._places:
            if not self._free:
                self._free.append(self._num_records)
                self._num_records += 1
            self._places[key] = self._free.pop()
        batch_id, number = key
        self._put(self._places[key], f"{batch_id} {number} {self._deaths.get(key, 0)} {state}")

    def _erase(self, key: _Key) -> None:
        place = self._places.pop(key)
        self._put(place, "")
        self._free.append(place)

    def _put(self, place: int, text: str) -> None:
        record = text.encode("ascii").ljust(_RECORD_BYTES - 1) + b"\n"
        with storing():
            os.pwrite(self._file, record, place * _RECORD_BYTES)
