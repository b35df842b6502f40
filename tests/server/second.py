"""A second `penny serve`, in a process of its own, for a server that passes requests on to it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pennyweight

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = str(Path(pennyweight.__file__).parents[1])


@dataclass(frozen=True, slots=True)
class Second:
    """`url` without a path."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def second_server(home: Path, *arguments: str, verb: str = "serve", **variables: str) -> Iterator[str]:
    """`penny serve` (or another `verb`) with `arguments`, everything it keeps under `home`; its address
    without a path.
    """
    with second_process(home, *arguments, verb=verb, **variables) as second:
        yield second.url


@contextmanager
def second_process(home: Path, *arguments: str, verb: str = "serve", **variables: str) -> Iterator[Second]:
    """As `second_server`, for who wants to kill it."""
    own = dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"), str(home))
    environ = dict(os.environ) | own | {"PYTHONPATH": SOURCES}
    command = [sys.executable, "-m", "pennyweight", verb, "--port", "0", *arguments]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ | variables, cwd=home)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        address = re.search(r"http://[^/]+", line)
        assert address, line
        yield Second(address[0], process)
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors, errors
