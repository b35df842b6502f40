"""A blob on its way in: a file of its own that is hashed as it grows, and is gone if it never gets a name."""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pennyweight.errors import InvalidRequestError
from pennyweight.store.durability import storing
from pennyweight.store.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from pennyweight.store.blob import Blob


class ContentTooLargeError(InvalidRequestError):
    """More bytes than may be stored as one object."""

    status = 413
    code = "content_too_large"


class IncomingBlob:
    """Used inside `BlobStore.receive`, by one thread at a time. `write` and `finish` wait for the disk."""

    def __init__(self, folder: Path, *, max_bytes: int, place: Callable[[Path, str, int], Blob]) -> None:
        """`place` is given the finished file, its hash and its size."""
        self.blob: Blob | None = None
        """The blob, once it is finished."""
        self.num_bytes = 0
        self._max_bytes = max_bytes
        self._place = place
        self._hash = hashlib.sha256()
        with storing():
            descriptor, name = tempfile.mkstemp(dir=folder)  # mode 0600
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "wb")

    def write(self, data: bytes) -> None:
        """Add `data`. Raises ContentTooLargeError, StorageFullError; after either nothing can be added."""
        self.num_bytes += len(data)
        if self.num_bytes > self._max_bytes:
            raise ContentTooLargeError(
                f"The content is larger than {self._max_bytes} bytes, the most that is stored as one object."
            )
        self._hash.update(data)
        with storing():
            self._file.write(data)

    def finish(self) -> Blob:
        """Make what was written durable. Raises StorageFullError."""
        with storing():
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            failpoint("blob.synced")
            self.blob = self._place(self._path, self._hash.hexdigest(), self.num_bytes)
        failpoint("blob.placed")
        return self.blob

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # the unwritten rest of something that is thrown away
            self._file.close()
        self._path.unlink(missing_ok=True)
