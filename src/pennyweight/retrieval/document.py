"""What kind of file this is, by its name and its first bytes; what cannot be read is refused by name."""

from __future__ import annotations

from pathlib import PurePath
from typing import Final, Literal

Kind = Literal["text", "html", "json", "json lines", "csv", "pdf", "docx"]
ErrorCode = Literal["unsupported_file", "invalid_file", "server_error"]
HEAD_BYTES: Final = 4096

_BY_NAME: Final[dict[str, Kind]] = {
    "csv": "csv",
    "docx": "docx",
    "htm": "html",
    "html": "html",
    "json": "json",
    "jsonl": "json lines",
    "ndjson": "json lines",
    "pdf": "pdf",
    "tsv": "csv",
    "xhtml": "html",
}
_FORMATS: Final = "text (Markdown, source code), HTML, JSON, JSON Lines, CSV, PDF and DOCX"
_OTHERS: Final = {
    b"PK\x03\x04": "a ZIP archive or another office format",
    b"\xd0\xcf\x11\xe0": "an old office format",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a compressed file",
}


class DocumentError(Exception):
    """A file that cannot be read; the message is for whoever uploaded it."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code: ErrorCode = code
        self.message = message


def kind_of(name: str, head: bytes) -> Kind:
    """`head` are the first bytes, `HEAD_BYTES` of them if there are so many. Raises DocumentError."""
    if b"%PDF-" in head[:1024]:
        return "pdf"
    named = _BY_NAME.get(PurePath(name).suffix.lower().removeprefix("."))
    if head.startswith(b"PK\x03\x04") and (named == "docx" or b"word/" in head):
        return "docx"
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise DocumentError("unsupported_file", f"The file is {what}; it may be {_FORMATS}.")
    if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DocumentError("unsupported_file", f"The file is no text; it may be {_FORMATS}.")
    if named in ("pdf", "docx"):
        raise DocumentError("invalid_file", f"The file is named like {named.upper()}, but is none.")
    if named is not None:
        return named
    start = head[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return "html" if start.startswith((b"<!doctype html", b"<html")) else "text"
