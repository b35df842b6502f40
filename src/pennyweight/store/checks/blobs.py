"""Every blob that is used is there, with the bytes it was stored with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.store.blob import BlobUses
from pennyweight.store.copying import DamagedBlobError, checked_chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.blob import Blob
    from pennyweight.store.checks.check import Finding, Scope


def check_blobs(scope: Scope) -> Iterator[Finding]:
    """Sizes and hashes. What nothing uses is no error: it is being stored, or swept by the next start."""
    for blob in list(BlobUses().all(scope.connection)):
        problem = _problem(blob, scope)
        if problem is not None and _is_still_used(blob, scope):
            yield problem


def _problem(blob: Blob, scope: Scope) -> Finding | None:
    try:
        num_bytes = sum(len(chunk) for chunk in checked_chunks(blob, scope.folder / "blobs"))
    except DamagedBlobError as error:
        return error.message
    if num_bytes != blob.num_bytes:
        return f"the blob {blob.sha256} has {num_bytes} bytes, its row says {blob.num_bytes}"
    return None


def _is_still_used(blob: Blob, scope: Scope) -> bool:
    """A running server may have removed it since."""
    return scope.database.read_now(lambda connection: BlobUses().is_used(connection, blob))
