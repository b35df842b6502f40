"""Where prefixes are spilled to, as settings say it, and the part of that folder that is one model's."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.errors import ConfigError

if TYPE_CHECKING:
    from pennyweight.engine.page_folder import PageFolder
    from pennyweight.models.load import LoadedModel

DEFAULT_SIZE = 2 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixCache:
    """A folder for the pages of any number of models, which take `limit_bytes` together."""

    root: Path
    limit_bytes: int = DEFAULT_SIZE


def prefix_cache(folder: str | os.PathLike[str] | None, size: int | str | None) -> PrefixCache | None:
    """The folder that was asked for; None: none was. ConfigError for a size that is none, or of nothing."""
    from pennyweight.memory import parse_memory

    if folder is None:
        if size is not None:
            raise ConfigError(
                f"prefix_cache_size is {size!r}, but prefix_cache_dir names no folder; give both, or neither"
            )
        return None
    limit = DEFAULT_SIZE if size is None else parse_memory(size, name="prefix_cache_size")
    return PrefixCache(root=Path(folder).expanduser(), limit_bytes=limit)


def page_folder(
    cache: PrefixCache | None, model: LoadedModel, *, weights: str | None, page_bytes: int
) -> PageFolder | None:
    """The folder of one model's pages; None without a cache. ConfigError if it cannot be used."""
    from pennyweight.engine.page_file import PageFormat
    from pennyweight.engine.page_folder import PageFolder, SpillLimits

    if cache is None:
        return None
    return PageFolder(
        SpillLimits(root=cache.root, limit_bytes=cache.limit_bytes),
        PageFormat(identity=_identity(model, weights, page_bytes), page_bytes=page_bytes),
    )


def _identity(model: LoadedModel, weights: str | None, page_bytes: int) -> bytes:
    """A digest of all that decides a page's bits beside its text and namespace.

    `docs/numerics.md` takes cosines from the C library, so its version counts.
    """
    from pennyweight import __version__
    from pennyweight.engine.page_label import DIGEST_BYTES

    parts = (__version__, _c_library(), model.content_hash, weights, model.spec, page_bytes)
    return hashlib.blake2b(repr(parts).encode(), digest_size=DIGEST_BYTES).digest()


def _c_library() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError):  # another library than GNU's, or another system
        return None
