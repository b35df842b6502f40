"""A multipart upload goes to the disk as it comes; memory holds one chunk of it.

(RFC 7578; the fields are those of https://platform.openai.com/docs/api-reference/files/create.)
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pennyweight.answers.fields import OneOf, ParameterError, missing, unknown
from pennyweight.errors import InvalidRequestError
from pennyweight.jobs.batch_request import ExpiresAfter
from pennyweight.store.incoming import ContentTooLargeError

if TYPE_CHECKING:
    from starlette.requests import Request

    from pennyweight.store.incoming import IncomingBlob

MAX_FILE_BYTES: Final = 512 * 2**20
PURPOSES: Final = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
_FIELDS: Final = ("file", "purpose", "expires_after[anchor]", "expires_after[seconds]")
MAX_FORM_BYTES: Final = MAX_FILE_BYTES + 2**16
"""What surrounds a file are boundaries, headers, the other fields."""
_MAX_VALUE_BYTES: Final = 1024
_MAX_NAME_CHARS: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What came beside the bytes; `expires_after` in seconds."""

    filename: str
    purpose: str
    expires_after: int | None


async def receive_upload(request: Request, incoming: IncomingBlob) -> Uploaded:
    """Write the request's file into `incoming`.

    Raises InvalidRequestError, ContentTooLargeError (413), StorageFullError, as soon as it is known.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_FORM_BYTES:
        raise ContentTooLargeError(
            f"The upload is larger than this server's limit of {MAX_FILE_BYTES} bytes."
        )
    reader = _Reader(boundary_of(request), incoming)
    async for chunk in request.stream():
        await asyncio.to_thread(reader.feed, chunk)
    return reader.uploaded()


def boundary_of(request: Request) -> bytes:
    """What parts of the request's form are separated by. Raises InvalidRequestError."""
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidRequestError("An upload is sent as multipart/form-data, with a boundary.")
    return options[b"boundary"]


class _Reader:
    """Callbacks of the parser; one part at a time is open."""

    def __init__(self, boundary: bytes, incoming: IncomingBlob) -> None:
        self._incoming = incoming
        self._values: dict[str, bytearray] = {}
        self._filename: str | None = None
        self._whole = False
        self._header: tuple[bytearray, bytearray] = (bytearray(), bytearray())
        self._headers: dict[bytes, bytes] = {}
        self._name = ""
        callbacks: Any = {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_part,
            "on_part_data": self._add,
            "on_end": self._finish,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise InvalidRequestError(f"The boundary of the upload is refused: {error}") from error

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise InvalidRequestError(f"The body is not valid multipart/form-data: {error}") from error

    def uploaded(self) -> Uploaded:
        """After the last chunk."""
        if not self._whole:
            raise InvalidRequestError("The body is not valid multipart/form-data: it is not whole.")
        if self._filename is None:
            raise missing("file")
        values = {name: value.decode("utf-8", "replace") for name, value in self._values.items()}
        if "purpose" not in values:
            raise missing("purpose")
        return Uploaded(
            filename=self._filename,
            purpose=OneOf(PURPOSES).read(values["purpose"], "purpose"),
            expires_after=_expires_after(values),
        )

    def _end_header(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        self._header = (bytearray(), bytearray())

    def _begin_part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if self._name not in _FIELDS:
            raise unknown(self._name, _FIELDS)
        if self._name in self._values or (self._name == "file" and self._filename is not None):
            raise ParameterError(f"'{self._name}' came twice.", param=self._name, code="duplicate_parameter")
        if self._name != "file":
            self._values[self._name] = bytearray()
        elif b"filename" not in options:
            message = "'file' must be a file with a name, not a text."
            raise ParameterError(message, param="file", code="invalid_type")
        else:
            name = options[b"filename"].decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
            self._filename = "".join(c for c in name if c.isprintable())[-_MAX_NAME_CHARS:] or "upload"

    def _add(self, data: bytes, start: int, end: int) -> None:
        if self._name == "file":
            self._incoming.write(data[start:end])
            return
        value = self._values[self._name]
        value += data[start:end]
        if len(value) > _MAX_VALUE_BYTES:
            message = f"'{self._name}' is longer than {_MAX_VALUE_BYTES} bytes."
            raise ParameterError(message, param=self._name, code="string_above_max_length")

    def _finish(self) -> None:
        self._whole = True


def _expires_after(values: dict[str, str]) -> int | None:
    given: dict[str, object] = {
        name: values[f"expires_after[{name}]"]
        for name in ("anchor", "seconds")
        if f"expires_after[{name}]" in values
    }
    if not given:
        return None
    seconds = str(given.get("seconds", ""))
    if seconds.isascii() and seconds.isdigit():
        given["seconds"] = int(seconds[:12])
    return ExpiresAfter().read(given, "expires_after")
