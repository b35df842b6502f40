"""What a page holds, in a form that outlives the process: its tokens, and a digest of all that stands before.

A chain of digests starts with the namespace (project, adapter, KV format) and takes the tokens of one page at
a time, so equal digests mean equal texts in the same namespace: nobody's pages are found by another project.
Texts with positions given as vectors have no label from there on.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pennyweight.core import PAGE_TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pennyweight.core import CacheNamespace
    from pennyweight.engine.prefix_tree import PositionKey

DIGEST_BYTES = 20


@dataclass(frozen=True, slots=True)
class PageLabel:
    """`tokens` (up to 64) behind the text with digest `parent`, in the namespace with digest `root`."""

    root: bytes
    parent: bytes
    tokens: tuple[int, ...]

    @property
    def digest(self) -> bytes:
        """Of the text up to the last of `tokens`: the `parent` of what follows a whole page."""
        return hashlib.blake2b(self.parent + pack_tokens(self.tokens), digest_size=DIGEST_BYTES).digest()


def pack_tokens(tokens: Sequence[int]) -> bytes:
    """Unsigned, 32 bits each, little-endian."""
    return struct.pack(f"<{len(tokens)}I", *tokens)


def root_digest(namespace: CacheNamespace) -> bytes:
    """Where the chains of `namespace` start."""
    named = json.dumps(asdict(namespace), sort_keys=True).encode()
    return hashlib.blake2b(named, digest_size=DIGEST_BYTES).digest()


def following_label(
    namespace: CacheNamespace, before: PageLabel | None, keys: Sequence[PositionKey]
) -> PageLabel | None:
    """The label of `keys` behind the whole page `before` (None: at the start); None if they have none."""
    root = root_digest(namespace) if before is None else before.root
    if min(keys) < 0:  # places in an embedding span
        return None
    return PageLabel(root, root if before is None else before.digest, tuple(keys))


def page_labels(namespace: CacheNamespace, keys: Sequence[PositionKey], *, limit: int) -> Iterator[PageLabel]:
    """The pages of the text `keys[:limit]` in order, as far as they have labels; the last may be partial."""
    before: PageLabel | None = None
    for start in range(0, limit, PAGE_TOKENS):
        run = keys[start : min(start + PAGE_TOKENS, limit)]
        before = following_label(namespace, before, run)
        if before is None:
            return
        yield before
