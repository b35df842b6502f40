"""JSON: every value on a line of its own, behind the path to it; what stands in a list is a paragraph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from pennyweight.retrieval.document import DocumentError
from pennyweight.retrieval.readers.plain import opened

if TYPE_CHECKING:
    from collections.abc import Iterator


def read(file: BinaryIO) -> Iterator[str]:
    """`{"a": {"b": [1, 2]}}` is `a.b: 1` and `a.b: 2`."""
    return lines_of(opened(file).read(), "The file")


def lines_of(text: str, name: str) -> Iterator[str]:
    """As `read`; errors call the text `name`. Raises DocumentError."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise DocumentError("invalid_file", f"{name} is nested too deeply.") from error
    except ValueError as error:
        raise DocumentError("invalid_file", f"{name} is not valid JSON: {error}.") from error
    for item in value if isinstance(value, list) else [value]:
        yield from _lines(item, "")
        yield "\n"


def _lines(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _lines(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from _lines(item, path)
    elif value is not None:
        shown = value if isinstance(value, str) else json.dumps(value)
        yield f"{path}: {shown}\n" if path else f"{shown}\n"
