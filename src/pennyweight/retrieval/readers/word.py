"""DOCX: the paragraphs of a ZIP archive's `word/document.xml` (ECMA-376, WordprocessingML).

The standard library reads both. Declared entities are refused before they could grow, and no more of the
archive is unpacked than may come out.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from xml.parsers import expat

from pennyweight.retrieval.document import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART: Final = "word/document.xml"
_NAMESPACE: Final = "http://schemas.openxmlformats.org/wordprocessingml/2006/main "
_STRICT_NAMESPACE: Final = "http://purl.oclc.org/ooxml/wordprocessingml/main "
_BREAKS: Final = {"tab": "\t", "br": "\n", "cr": "\n"}
_CHUNK_BYTES: Final = 2**16
_MAX_XML_BYTES: Final = 256 * 2**20
_MAX_DEPTH: Final = 500


def read(file: BinaryIO) -> Iterator[str]:
    """Paragraphs, cells of tables among them. Raises DocumentError."""
    try:
        with zipfile.ZipFile(file) as archive, archive.open(_PART) as part:
            yield from _paragraphs(part)
    except KeyError as error:
        raise DocumentError("invalid_file", f"The file is no DOCX: it has no {_PART}.") from error
    except expat.ExpatError as error:
        raise DocumentError("invalid_file", f"The DOCX is damaged: {error}.") from error
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise DocumentError("invalid_file", "The DOCX is damaged, or encrypted.") from error


def _paragraphs(part: Any) -> Iterator[str]:
    body = _Body()
    num_bytes = 0
    while data := part.read(_CHUNK_BYTES):
        num_bytes += len(data)
        if num_bytes > _MAX_XML_BYTES:
            raise DocumentError("invalid_file", f"The DOCX unpacks to more than {_MAX_XML_BYTES} bytes.")
        body.parser.Parse(data, False)
        yield from body.take()
    body.parser.Parse(b"", True)
    yield from body.take()


class _Body:
    """Text runs between the tags."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.EntityDeclHandler = self._refuse
        self._depth = 0
        self._in_text = False
        self._pieces: list[str] = []

    def take(self) -> list[str]:
        """What has come since."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _start(self, name: str, _attributes: object) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise DocumentError("invalid_file", f"The DOCX is nested deeper than {_MAX_DEPTH} levels.")
        local = _local(name)
        self._in_text = local == "t"
        self._pieces.append(_BREAKS.get(local, ""))

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._in_text = False
        if _local(name) == "p":
            self._pieces.append("\n\n")

    def _data(self, data: str) -> None:
        if self._in_text:
            self._pieces.append(data)

    def _refuse(self, *_: object) -> None:
        raise DocumentError("invalid_file", "The DOCX declares entities, which no office program writes.")


def _local(name: str) -> str:
    for namespace in (_NAMESPACE, _STRICT_NAMESPACE):
        if name.startswith(namespace):
            return name.removeprefix(namespace)
    return ""
