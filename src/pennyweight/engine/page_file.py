"""The file of one spilled page: what it holds, the page as the decoder keeps it, and a checksum of both.

Little-endian: magic with the format's version (8 bytes), identity of what computed it (20), digests of the
namespace and of the text before (20 each), number of tokens (u32), bytes of the page (u64), the tokens (u32
each), the page, BLAKE2b of everything before (16). Nothing in a file is believed: a reader knows what has to
stand there and compares, tokens included, so a file is either the one that was asked for or none.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from pennyweight.core import PAGE_TOKENS
from pennyweight.engine.page_label import DIGEST_BYTES, PageLabel, pack_tokens

MAGIC = b"PWPAGE\x00\x01"
CHECKSUM_BYTES = 16
_FIXED = struct.Struct(f"<8s{DIGEST_BYTES}s{DIGEST_BYTES}s{DIGEST_BYTES}sIQ")
MAX_HEADER_BYTES = _FIXED.size + 4 * PAGE_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class PageFormat:
    """Which pages can be read back: those of the same `identity` (a digest) and size.

    The identity stands for all that decides a page's bits beside its text: weights, constants of the model,
    layout, version of the program.
    """

    identity: bytes
    page_bytes: int

    def header(self, label: PageLabel) -> bytes:
        """Everything before the page."""
        num_tokens = len(label.tokens)
        fixed = _FIXED.pack(MAGIC, self.identity, label.root, label.parent, num_tokens, self.page_bytes)
        return fixed + pack_tokens(label.tokens)

    def encode(self, label: PageLabel, page: bytes) -> tuple[bytes, bytes, bytes]:
        """The parts of a file, in order."""
        assert len(page) == self.page_bytes
        header = self.header(label)
        return header, page, _checksum(header, page)

    def decode(self, label: PageLabel, data: bytes) -> memoryview | None:
        """The page in `data` if that is the whole file of `label`, else None."""
        header = self.header(label)
        if len(data) != len(header) + self.page_bytes + CHECKSUM_BYTES or not data.startswith(header):
            return None
        page = memoryview(data)[len(header) : -CHECKSUM_BYTES]
        return page if data[-CHECKSUM_BYTES:] == _checksum(header, page) else None

    def file_bytes(self, num_tokens: int) -> int:
        """Size of the file of a page with `num_tokens` tokens."""
        return _FIXED.size + 4 * num_tokens + self.page_bytes + CHECKSUM_BYTES

    def label(self, start: bytes) -> PageLabel | None:
        """What a file that begins with `start` (MAX_HEADER_BYTES) says it holds; None if it is no such."""
        if len(start) < _FIXED.size:
            return None
        magic, identity, root, parent, num_tokens, page_bytes = _FIXED.unpack_from(start)
        known = (magic, identity, page_bytes) == (MAGIC, self.identity, self.page_bytes)
        tokens = start[_FIXED.size : _FIXED.size + 4 * num_tokens]
        if not known or not 1 <= num_tokens <= PAGE_TOKENS or len(tokens) != 4 * num_tokens:
            return None
        return PageLabel(root, parent, struct.unpack(f"<{num_tokens}I", tokens))


def _checksum(header: bytes, page: bytes | memoryview) -> bytes:
    digest = hashlib.blake2b(header, digest_size=CHECKSUM_BYTES)
    digest.update(page)
    return digest.digest()
