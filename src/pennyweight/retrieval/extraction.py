"""The text of an uploaded file, read by a process of its own: whatever the file does, it does it there.

The process has no environment but where its modules are, limits its memory, time and output itself (see
`extraction_process`), and is killed when it outlives its time or its reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from pennyweight.retrieval.document import DocumentError
from pennyweight.retrieval.extraction_process import MAX_CPU_S, MAX_MEMORY_BYTES, SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WALL_S: Final = 300.0
_LOOK_S: Final = 1.0
_MODULE: Final = "pennyweight.retrieval.extraction_process"


def extract(name: str, file: BinaryIO, *, keep_on: Callable[[], None] = lambda: None) -> str:
    """The text of `file`, which is open at its start and has a descriptor. Raises DocumentError.

    `keep_on` is called every second; what it raises ends the process and is raised here.
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE, name.replace("\0", "") or "file"],
            stdin=file,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUTF8": "1"},
            cwd="/",
        )
        try:
            _wait(process, keep_on)
        finally:
            process.kill()
            process.wait()
        output.seek(0)
        return _text(output.read(), process.returncode)


def _wait(process: subprocess.Popen[bytes], keep_on: Callable[[], None]) -> None:
    deadline = time.monotonic() + MAX_WALL_S
    while True:
        try:
            process.wait(_LOOK_S)
            return
        except subprocess.TimeoutExpired:
            keep_on()
        if time.monotonic() > deadline:
            raise DocumentError("invalid_file", f"Reading the file takes longer than {MAX_WALL_S:.0f} s.")


def _text(output: bytes, returncode: int) -> str:
    text, separator, told = output.rpartition(SEPARATOR)
    if not separator:
        raise DocumentError("invalid_file", _died_of(returncode))
    outcome: dict[str, Any] = json.loads(told)
    if outcome:
        raise DocumentError(outcome["code"], outcome["message"])
    return text.decode()


def _died_of(returncode: int) -> str:
    if returncode in (-24, -9):  # SIGXCPU, and the SIGKILL that follows it
        limits = f"{MAX_CPU_S} s of processor time or {MAX_MEMORY_BYTES >> 20} MiB of memory"
        return f"Reading the file takes more than {limits}."
    return f"The file cannot be read: its reader ended with {returncode}."
