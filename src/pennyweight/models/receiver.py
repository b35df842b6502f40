"""A file on its way in: counted and hashed while it is written, believed when size and digest fit."""

from __future__ import annotations

import hashlib
import os
from typing import IO, TYPE_CHECKING, Final, Self

from pennyweight.errors import FetchError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

CHUNK_BYTES: Final = 1 << 20


def file_sha256(
    path: Path, *, size: int, sha256: str | None = None, git_blob: str | None = None
) -> str | None:
    """The SHA-256 of the file at `path`; None unless it is there with this size and the digests given."""
    try:
        if path.stat().st_size != size:
            return None
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
            if git_blob is not None:
                file.seek(0)
                blob = _git_hash(size)
                while chunk := file.read(CHUNK_BYTES):
                    blob.update(chunk)
                if blob.hexdigest() != git_blob:
                    return None
    except FileNotFoundError:
        return None
    return found if sha256 in (None, found) else None


def _git_hash(size: int) -> hashlib._Hash:
    """What git names a file of `size` bytes by; a matter of identity, not of security."""
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


class Receiver:
    """Writes to `path`. More than `size` bytes (an archive bomb, a wrong file) are refused as they arrive.

    `sha256` and `git_blob` (the SHA-1 that git names a file by) are what the content must have; without one
    only its size is checked. `resume` goes on behind what an earlier try left at `path`.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: int,
        sha256: str | None = None,
        git_blob: str | None = None,
        resume: bool = False,
    ) -> None:
        self.path = path
        self.size = size
        self._wanted = {"SHA-256": sha256, "git SHA-1": git_blob}
        self._file = path.open("r+b" if resume and path.exists() else "w+b")
        self.restart(keep=resume)

    def write(self, chunk: bytes) -> None:
        """Append; FetchError beyond the announced size."""
        self.received += len(chunk)
        if self.received > self.size:
            raise FetchError(f"it is larger than the {self.size} bytes it should have")
        self._hash(chunk)
        self._file.write(chunk)

    def copy(self, source: IO[bytes]) -> None:
        """Append everything `source` holds."""
        while chunk := source.read(CHUNK_BYTES):
            self.write(chunk)

    def restart(self, *, keep: bool = False) -> None:
        """Forget what was written, or only `keep` what is there already; the source begins behind it."""
        self.received = 0
        self._digests = {"SHA-256": hashlib.sha256()}
        if self._wanted["git SHA-1"] is not None:
            self._digests["git SHA-1"] = _git_hash(self.size)
        self._file.seek(0)
        if keep and os.fstat(self._file.fileno()).st_size <= self.size:
            while chunk := self._file.read(CHUNK_BYTES):
                self._hash(chunk)
                self.received += len(chunk)
        self._file.truncate()

    def mistake(self) -> str | None:
        """What is wrong with what is here so far; None: it is all that was wanted."""
        if self.received != self.size:
            return f"it has {self.received} bytes instead of {self.size}"
        for name, digest in self._digests.items():
            wanted, found = self._wanted[name], digest.hexdigest()
            if wanted not in (None, found):
                return f"its {name} is {found} instead of {wanted}"
        return None

    def finish(self) -> str:
        """Check size and digests, then make the bytes durable; returns the SHA-256.

        FetchError if they are not the right ones: nothing of wrong bytes is kept for another try.
        """
        mistake = self.mistake()
        if mistake is not None:
            if self.received == self.size:
                self.restart()
            raise FetchError(mistake)
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._digests["SHA-256"].hexdigest()

    def _hash(self, chunk: bytes) -> None:
        for digest in self._digests.values():
            digest.update(chunk)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
