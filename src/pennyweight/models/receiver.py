"""A file on its way in: counted and hashed while it is written, believed when size and SHA-256 fit."""

from __future__ import annotations

import hashlib
import os
from typing import IO, TYPE_CHECKING, Final, Self

from pennyweight.errors import FetchError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

CHUNK_BYTES: Final = 1 << 20


class Receiver:
    """Writes to `path`. More than `size` bytes (an archive bomb, a wrong file) are refused as they arrive."""

    def __init__(self, path: Path, *, size: int, sha256: str) -> None:
        self.path = path
        self.size = size
        self.received = 0
        self._sha256 = sha256
        self._hash = hashlib.sha256()
        self._file = path.open("wb")

    def write(self, chunk: bytes) -> None:
        """Append; FetchError beyond the announced size."""
        self.received += len(chunk)
        if self.received > self.size:
            raise FetchError(f"it is larger than the {self.size} bytes it should have")
        self._hash.update(chunk)
        self._file.write(chunk)

    def copy(self, source: IO[bytes]) -> None:
        """Append everything `source` holds."""
        while chunk := source.read(CHUNK_BYTES):
            self.write(chunk)

    def restart(self) -> None:
        """Forget what was written; the source begins again."""
        self._file.seek(0)
        self._file.truncate()
        self._hash = hashlib.sha256()
        self.received = 0

    def finish(self) -> None:
        """Check size and hash, then make the bytes durable. FetchError if they are not the right ones."""
        if self.received != self.size:
            raise FetchError(f"it has {self.received} bytes instead of {self.size}")
        if self._hash.hexdigest() != self._sha256:
            raise FetchError(f"its SHA-256 is {self._hash.hexdigest()} instead of {self._sha256}")
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
