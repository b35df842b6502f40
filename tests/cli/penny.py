"""The command line as a person runs it: in this process, or in one of its own that can be signalled."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pennyweight
from pennyweight.cli.app import main

if TYPE_CHECKING:
    import pytest

SOURCES = str(Path(pennyweight.__file__).parents[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a run ended."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Penny:
    """Runs `penny` with everything it keeps under `home`."""

    home: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: str, given: str | bytes = b"") -> Done:
        """Run to the end inside this process, where imports were paid for; `given` is standard input."""
        typed = self.home / "standard-input"
        typed.write_bytes(given.encode() if isinstance(given, str) else given)
        for name, value in self._own_environ().items():
            self.monkeypatch.setenv(name, value)
        self.monkeypatch.setattr(sys, "argv", ["penny", *arguments])
        self.capsys.readouterr()
        with typed.open(encoding="utf-8") as standard_input:
            self.monkeypatch.setattr(sys, "stdin", standard_input)
            code = 0
            try:
                main()
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 0
        captured = self.capsys.readouterr()
        return Done(returncode=code, stdout=captured.out, stderr=captured.err)

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        """Start a process of its own and leave it running, with pipes on all three sides."""
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "pennyweight", *arguments]
        return subprocess.Popen(
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=self.environ() | variables
        )

    def environ(self) -> dict[str, str]:
        """The environment of a process of its own."""
        return dict(os.environ) | self._own_environ() | {"PYTHONPATH": SOURCES}

    def _own_environ(self) -> dict[str, str]:
        own = {"HOME": str(self.home), "XDG_CACHE_HOME": str(self.home / "cache"), "COLUMNS": "200"}
        folders = {"XDG_CONFIG_HOME": self.home / "config", "XDG_DATA_HOME": self.home / "data"}
        return own | {name: str(folder) for name, folder in folders.items()}
