"""Which spilled pages go when the folder is full: those whose text was longest of no use, its end first.

A page without those before it is of no use, so a page counts as used when any page behind it was. The order
follows from names and times of access alone: several processes may share the folder, and none needs to know
of the others.
"""

from __future__ import annotations

import re
import secrets
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SUBFOLDER_PREFIX = "pages-"
_NAME = re.compile(r"([0-9a-f]{40})-([0-9a-f]{40})\.page")
_TEMPORARY = re.compile(r"[0-9a-f]{32}\.part")
LEFT_BEHIND_S = 3600.0  # a half-written file this old is nobody's any more


@dataclass(frozen=True, slots=True, kw_only=True)
class SpilledPage:
    """One file: the text up to it has digest `digest`, the text before it `parent`."""

    path: Path
    parent: bytes
    digest: bytes
    num_bytes: int
    used_ns: int  # since 1970


def file_name(parent: bytes, digest: bytes) -> str:
    """The name of a page's file."""
    return f"{parent.hex()}-{digest.hex()}.page"


def temporary_name() -> str:
    """A name for a file that is being written. Process ids would be equal in two containers."""
    return f"{secrets.token_hex(16)}.part"


def spilled_pages(folder: Path) -> list[SpilledPage]:
    """The pages in one subfolder; none if it is gone."""
    pages: list[SpilledPage] = []
    with suppress(OSError):
        for path in folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            with suppress(OSError):  # it may be removed by another process meanwhile
                status = path.lstat()
                pages.append(
                    SpilledPage(
                        path=path,
                        parent=bytes.fromhex(match[1]),
                        digest=bytes.fromhex(match[2]),
                        num_bytes=status.st_size,
                        used_ns=status.st_mtime_ns,
                    )
                )
    return pages


def subfolders(root: Path) -> list[Path]:
    """The folders of all models."""
    with suppress(OSError):
        return sorted(root.glob(f"{SUBFOLDER_PREFIX}*/"))
    return []


def trim(root: Path, *, limit_bytes: int) -> int:
    """If the pages of all models take more than the limit, remove some until they take nine tenths of it.

    Returns the bytes that are left. A file that cannot be removed counts as left.
    """
    pages = [page for folder in subfolders(root) for page in spilled_pages(folder)]
    total = sum(page.num_bytes for page in pages)
    if total <= limit_bytes:
        return total
    for page in _least_useful_first(pages):
        if total <= limit_bytes * 9 // 10:
            break
        with suppress(OSError):
            page.path.unlink()
            total -= page.num_bytes
    return total


def clean(root: Path, *, now_s: float) -> None:
    """Remove what processes that were killed left half-written, and the folders of models that are gone."""
    for folder in subfolders(root):
        with suppress(OSError):
            for path in folder.iterdir():
                if _TEMPORARY.fullmatch(path.name) and path.lstat().st_mtime < now_s - LEFT_BEHIND_S:
                    path.unlink()
        with suppress(OSError):
            folder.rmdir()  # fails unless it is empty


def _least_useful_first(pages: Sequence[SpilledPage]) -> list[SpilledPage]:
    behind: dict[bytes, list[SpilledPage]] = defaultdict(list)
    for page in pages:
        behind[page.parent].append(page)
    known = {page.digest for page in pages}
    pending = [page for page in pages if page.parent not in known]
    downwards: list[SpilledPage] = []  # every page after the one before it
    while pending:
        page = pending.pop()
        downwards.append(page)
        pending += behind.pop(page.digest, ())
    used_ns: dict[bytes, int] = {}
    for page in reversed(downwards):
        own = max(page.used_ns, used_ns.get(page.digest, 0))
        used_ns[page.digest] = own
        used_ns[page.parent] = max(own, used_ns.get(page.parent, 0))
    # Names that lead in a circle are nobody's pages: they are not reached, and go first.
    reached = {page.path for page in downwards}
    nobodys = [page for page in pages if page.path not in reached]
    downwards.reverse()  # of those used at the same time, the last of a text goes first
    return nobodys + sorted(downwards, key=lambda page: used_ns[page.digest])
