"""CSV: every row a line that names its columns, so that a row is understood without the first one."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, BinaryIO, Final

from pennyweight.retrieval.document import DocumentError
from pennyweight.retrieval.readers.plain import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

_DELIMITERS: Final = ",;\t|"


def read(file: BinaryIO) -> Iterator[str]:
    """The first row has the names; its commonest of `,;|` and tab separates. Raises DocumentError."""
    text = opened(file)
    first = text.readline(2**16)
    text.seek(0)
    rows = csv.reader(text, delimiter=max(_DELIMITERS, key=first.count))
    try:
        names = [name.strip() for name in next(rows, [])]
        empty = True
        for row in rows:
            pairs = [(names[i] if i < len(names) else "", cell.strip()) for i, cell in enumerate(row)]
            line = "; ".join(f"{name}: {cell}" if name else cell for name, cell in pairs if cell)
            if line:
                empty = False
                yield f"{line}\n\n"
        if empty:
            yield ", ".join(names)
    except csv.Error as error:
        raise DocumentError("invalid_file", f"The file is not valid CSV: {error}.") from error
