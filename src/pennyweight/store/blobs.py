"""Blobs on the local disk: `<data>/blobs/<project>/<hh>/<sha256>`, whole and durable or not there at all.

A blob arrives in a file without a name that counts, is synced, renamed, and its folder synced; then the row
that uses it is committed. Until then it is pinned, so that nobody sweeps it away; a crash in between leaves
rubbish, which the next start sweeps. Equal content within a project is one blob, which goes when nothing uses
it any more. Bytes are read and written here alone: an object store would be another class of this shape.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections import Counter
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO

from pennyweight.store.blob import Blob, BlobUses
from pennyweight.store.durability import make_folder, place, storing, sync
from pennyweight.store.failpoints import failpoint
from pennyweight.store.incoming import IncomingBlob

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.store.database import Database


class BlobStore:
    """One per data folder, of the process that serves it; others add while they are `keeping`.

    Every method may be called from any thread.
    """

    def __init__(self, folder: Path, database: Database, *, incoming: str = "incoming") -> None:
        """`folder` is the data folder. What a killed process was receiving is cleared away.

        Beside the process that serves it, `incoming` is a name of one's own.
        """
        self._folder = folder / "blobs"
        self._incoming = folder / incoming
        self._database = database
        self._uses = BlobUses()
        self._gate = Lock()  # held while a blob gets its name, and while one is removed
        self._pins: Counter[Blob] = Counter()
        shutil.rmtree(self._incoming, ignore_errors=True)
        with storing():
            make_folder(self._folder)
            make_folder(self._incoming)

    @contextmanager
    def receive(self, project_id: str, *, max_bytes: int) -> Iterator[IncomingBlob]:
        """Write into what is yielded, `finish` it, and commit the row that uses it, all inside the block.

        Left by an exception nothing stays, if no row was committed before. Raises StorageFullError.
        """
        place_it = partial(self._place, project_id)
        with IncomingBlob(self._incoming, max_bytes=max_bytes, place=place_it) as incoming:
            try:
                yield incoming
            except BaseException:
                self._unpin(incoming.blob)
                if incoming.blob is not None:
                    self.collect(incoming.blob)
                raise
            self._unpin(incoming.blob)

    def open(self, blob: Blob) -> BinaryIO:
        """The bytes of `blob`, which is in use."""
        return self.path(blob).open("rb")

    def path(self, blob: Blob) -> Path:
        """Where the bytes of `blob` are, or would be."""
        return blob_path(self._folder, blob)

    def collect(self, blob: Blob) -> bool:
        """Remove `blob` if nothing uses it; whether it is gone. While a backup runs it stays for `sweep`."""
        with self._gate, _removing(self._folder) as allowed:
            if not allowed or self._pins[blob] > 0 or self._is_used(blob):
                return False
            path = self.path(blob)
            if path.exists():
                with storing():
                    path.unlink()
                    sync(path.parent)
        failpoint("blob.removed")
        return True

    def sweep(self) -> int:
        """Remove every blob that nothing uses, and tell how many. At the start, and now and then."""
        used = set(self._database.read_now(lambda connection: list(self._uses.all(connection))))
        return sum(self.collect(blob) for blob in stored_blobs(self._folder) if blob not in used)

    def _place(self, project_id: str, source: Path, sha256: str, num_bytes: int) -> Blob:
        blob = Blob(project_id=project_id, sha256=sha256, num_bytes=num_bytes)
        target = self.path(blob)
        with self._gate:
            make_folder(target.parent)
            place(source, target)  # over equal bytes, if it is there already
            self._pins[blob] += 1
        return blob

    def _unpin(self, blob: Blob | None) -> None:
        with self._gate:
            if blob is not None:
                self._pins[blob] -= 1
                self._pins = +self._pins  # drops those at zero

    def _is_used(self, blob: Blob) -> bool:
        return self._database.read_now(lambda connection: self._uses.is_used(connection, blob))


def blob_path(folder: Path, blob: Blob) -> Path:
    """Where `blob` is in a folder of blobs."""
    return folder / blob.project_id / blob.sha256[:2] / blob.sha256


def stored_blobs(folder: Path) -> Iterator[Blob]:
    """Every blob in a folder of blobs, used or not, but those that are removed meanwhile."""
    for path in sorted(folder.glob("*/*/*")):
        try:
            num_bytes = path.stat().st_size
        except FileNotFoundError:
            continue
        yield Blob(project_id=path.parts[-3], sha256=path.name, num_bytes=num_bytes)


@contextmanager
def keeping(folder: Path) -> Iterator[None]:
    """While this is open, in whatever process, no blob of `folder` is removed."""
    with _opened(folder) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield


@contextmanager
def _removing(folder: Path) -> Iterator[bool]:
    """Whether a blob may be removed now: no backup is running."""
    with _opened(folder) as descriptor:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            allowed = True
        except BlockingIOError:
            allowed = False
        yield allowed


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
