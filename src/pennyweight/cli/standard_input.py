"""Text piped into a command."""

from __future__ import annotations

import os
import select
import stat
import sys

from pennyweight.cli.terminal import notice
from pennyweight.errors import InvalidRequestError

_PATIENCE_S = 2.0


def piped_text() -> str:
    """Everything on standard input if it is a pipe or a file, else nothing. Says so if it waits long."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # standard input is closed
        return ""
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return ""
    ready, _, _ = select.select([sys.stdin], [], [], _PATIENCE_S)
    if not ready:
        notice("penny: waiting for standard input; if nothing will come, add < /dev/null")
    try:
        return sys.stdin.buffer.read().decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"standard input is not UTF-8 text: byte {error.start} is wrong"
        raise InvalidRequestError(message) from error
