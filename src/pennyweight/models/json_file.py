"""The small files beside a model's weights, read whole within a limit."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES: Final = 64 << 20  # the largest tokenizer.json there is has 33 MB


def read_small_file(path: Path) -> bytes:
    """The bytes of a regular file; ModelFileError if there is none, or one beyond the limit."""
    try:
        # Non-blocking, so that a named pipe cannot hang.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ModelFileError(f"{path} is not a regular file")
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > _MAX_BYTES:
        raise ModelFileError(f"{path} is larger than {_MAX_BYTES} bytes")
    return data


def parse_json(data: bytes, path: Path) -> Any:
    """The value that `data`, read from `path`, spells; ModelFileError if it is none."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{path} is not JSON: {error}") from error


def read_json(path: Path) -> Any:
    """The value in a JSON file. Raises ModelFileError."""
    return parse_json(read_small_file(path), path)


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ModelFileError."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} is not a JSON object")
    return value
