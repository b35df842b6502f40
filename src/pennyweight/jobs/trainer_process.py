"""The trainer as a process of its own: started on a work folder, listened to line by line, stopped.

It has the folder's lock for as long as it lives, so that two never train in one folder, and a pipe from us:
when we are gone, however we went, it makes a checkpoint and ends.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Self

from pennyweight.errors import InvalidRequestError, PennyweightError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_LIBRARIES: Final = ("torch", "transformers", "peft", "safetensors")
_MAX_LINE_BYTES: Final = 2**24  # a hundred errors of a file, each with what is wrong
_GRACE_S: Final = 20.0  # for a checkpoint; what was trained since the last one is trained again
_LOCK_S: Final = 60.0  # for the trainer of a server that was killed
_ASKED_AGAIN_S: Final = 0.1
_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
LOG_FILE: Final = "trainer.log"


class TrainerMissingError(InvalidRequestError):
    """What trains is not installed beside this server, and trying again does not help."""

    code = "trainer_not_installed"


class FolderBusyError(PennyweightError):
    """Another trainer is still at work in the folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """How a trainer is started (the work folder's path is added), and which libraries it lacks here."""

    command: tuple[str, ...]
    lacking: tuple[str, ...] = ()

    @classmethod
    def here(cls) -> Self:
        """The one of this installation. Imports nothing."""
        lacking = tuple(name for name in _LIBRARIES if find_spec(name) is None)
        return cls(command=(sys.executable, "-m", "pennyweight.tune"), lacking=lacking)

    def check(self) -> None:
        """Raise TrainerMissingError if it cannot train."""
        if self.lacking:
            raise TrainerMissingError(
                f"Nothing can be trained here: {', '.join(self.lacking)} not installed. "
                "`pip install 'pennyweight[tune]'` adds what is missing; a server is then started again."
            )

    async def start(self, folder: Path) -> TrainerProcess:
        """Begin, or go on from the last checkpoint in `folder`. Raises FolderBusyError."""
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _locked(lock, folder)
            with (folder / LOG_FILE).open("ab") as log:
                process = await asyncio.create_subprocess_exec(
                    *self.command,
                    str(folder),
                    cwd=folder,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=log,
                    pass_fds=(lock,),
                    start_new_session=True,  # Ctrl-C at a terminal is for us alone
                    limit=_MAX_LINE_BYTES,
                )
        finally:
            os.close(lock)  # the trainer has it now
        return TrainerProcess(process)


class TrainerProcess:
    """One run. `events` first, then `returncode`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._cpu_us = 0

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """What it says, until it ends. A line that is no JSON object is none of it."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    yield event
        await self._process.wait()

    @property
    def returncode(self) -> int | None:
        """Of the process; negative: the signal that ended it."""
        return self._process.returncode

    def cpu_us(self) -> int:
        """Microseconds of processor time up to now; once it has ended, as last seen."""
        try:
            with open(f"/proc/{self._process.pid}/stat", encoding="ascii", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:  # it has ended, or this system has no such file
            return self._cpu_us
        ticks = int(fields[11]) + int(fields[12])  # user and system time, of all threads (proc(5))
        self._cpu_us = max(self._cpu_us, ticks * 1_000_000 // _TICKS_PER_S)
        return self._cpu_us

    async def stop(self) -> None:
        """Ask it to end, and end it if it does not. Harmless twice."""
        if self._process.returncode is not None:
            return
        self.cpu_us()
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_GRACE_S):
                await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """End it at once, checkpoint or not."""
        with suppress(ProcessLookupError):
            self._process.kill()


async def _locked(lock: int, folder: Path) -> None:
    """Wait for the trainer of before, which ends by itself."""
    for _ in range(int(_LOCK_S / _ASKED_AGAIN_S)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            await asyncio.sleep(_ASKED_AGAIN_S)
        else:
            return
    raise FolderBusyError(f"another trainer is still at work in {folder}; it is waited for")
