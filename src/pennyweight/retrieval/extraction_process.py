"""The process that reads one hostile file: `python -P -m pennyweight.retrieval.extraction_process NAME`.

The file is its standard input, the text its standard output, followed by a record separator and what became
of it as JSON. Before it looks at the file it limits itself: memory, processor time, what it writes.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
from typing import TYPE_CHECKING, Final

from pennyweight.retrieval.document import HEAD_BYTES, DocumentError, kind_of

if TYPE_CHECKING:
    from typing import BinaryIO

MAX_MEMORY_BYTES: Final = 2**30
MAX_CPU_S: Final = 120
MAX_TEXT_BYTES: Final = 20_000_000
"""Some 5,000,000 tokens of English, OpenAI's limit for one file."""
SEPARATOR: Final = b"\x1e"
_MAX_OPEN_FILES: Final = 32
_LAYOUT: Final = "\t\n"
_CONTROLS: Final = {code: None for code in (*range(32), 127) if chr(code) not in _LAYOUT}


def main() -> None:
    """Read standard input."""
    _limit()
    logging.disable(logging.CRITICAL)  # pypdf tells every flaw of a file
    with os.fdopen(1, "wb") as output:
        outcome = _told(sys.argv[1], sys.stdin.buffer, output)
        output.write(SEPARATOR + json.dumps(outcome).encode())


def _limit() -> None:
    for what, most in (
        (resource.RLIMIT_AS, MAX_MEMORY_BYTES),
        (resource.RLIMIT_CPU, MAX_CPU_S),
        (resource.RLIMIT_FSIZE, MAX_TEXT_BYTES + 2**16),
        (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def _told(name: str, file: BinaryIO, output: BinaryIO) -> dict[str, str]:
    try:
        _write(name, file, output)
    except DocumentError as error:
        return {"code": error.code, "message": error.message}
    except MemoryError:
        return {
            "code": "invalid_file",
            "message": f"Reading the file takes more than {MAX_MEMORY_BYTES >> 20} MiB of memory.",
        }
    except RecursionError:
        return {"code": "invalid_file", "message": "The file is nested too deeply."}
    except Exception as error:  # the edge of the process: libraries meet damaged files with anything
        return {"code": "invalid_file", "message": f"The file is damaged: {type(error).__name__}."}
    return {}


def _write(name: str, file: BinaryIO, output: BinaryIO) -> None:
    from pennyweight.retrieval.readers import read

    head = file.read(HEAD_BYTES)
    file.seek(0)
    num_bytes, empty = 0, True
    for piece in read(kind_of(name, head), file):
        data = piece.translate(_CONTROLS).encode("utf-8", "replace")
        num_bytes += len(data)
        if num_bytes > MAX_TEXT_BYTES:
            raise DocumentError(
                "invalid_file", f"The file has more than {MAX_TEXT_BYTES} bytes of text; split it."
            )
        empty = empty and not data.strip()
        output.write(data)
    if empty:
        raise DocumentError("invalid_file", "The file has no text in it (pictures of text are not read).")


if __name__ == "__main__":
    main()
