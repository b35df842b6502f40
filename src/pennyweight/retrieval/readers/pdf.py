"""PDF, by pypdf: the text that is in the file, page by page. Pictures of text are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from pypdf import PdfReader
from pypdf.errors import FileNotDecryptedError, PyPdfError

from pennyweight.retrieval.document import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(file: BinaryIO) -> Iterator[str]:
    """A page is a paragraph. Raises DocumentError."""
    try:
        reader = PdfReader(file, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentError("invalid_file", "The PDF is encrypted; remove its password.")
        for page in reader.pages:
            yield page.extract_text()
            yield "\n\n"
    except FileNotDecryptedError as error:
        raise DocumentError("invalid_file", "The PDF is encrypted; remove its password.") from error
    # pypdf meets damaged files with whatever exception they cause.
    except (PyPdfError, ValueError, TypeError, KeyError, AttributeError, IndexError, OSError) as error:
        raise DocumentError("invalid_file", f"The PDF is damaged: {type(error).__name__}.") from error
