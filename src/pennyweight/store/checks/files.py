"""Files: each has one content, of the size it says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, func, select

from pennyweight.store.tables.blobs import blob_uses
from pennyweight.store.tables.files import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.checks.check import Finding, Scope


def check_files(scope: Scope) -> Iterator[Finding]:
    """Rows alone; the bytes are looked at with the blobs."""
    own = and_(blob_uses.c.owner_id == files.c.id, blob_uses.c.project_id == files.c.project_id)
    contents = (
        select(files.c.id, files.c.num_bytes, func.count(blob_uses.c.sha256), func.max(blob_uses.c.num_bytes))
        .join(blob_uses, own, isouter=True)
        .group_by(files.c.id, files.c.num_bytes)
    )
    for file_id, num_bytes, num_contents, stored_bytes in scope.connection.execute(contents):
        if num_contents != 1:
            yield f"{file_id} has {num_contents} contents"
        elif num_bytes != stored_bytes:
            yield f"{file_id} says {num_bytes} bytes, its content has {stored_bytes}"
