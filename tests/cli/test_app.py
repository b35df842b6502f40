"""What becomes of output that cannot be written."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny


def redirected(penny: Penny, to: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """The command with a shell's redirection."""
    command = ["sh", "-c", f'exec "$0" -m pennyweight "$@" {to}', sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=penny.environ() | variables, check=False, timeout=60
    )


@pytest.mark.parametrize("to", [">/dev/full", ">&-"])
@pytest.mark.parametrize("command", ["run", "models", "--help"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_cannot_be_written(
    penny: Penny, tiny_llama_path: Path, to: str, command: str, unbuffered: str
) -> None:
    run = ("run", "Hi", "--model", str(tiny_llama_path), "--max-tokens", "3")
    done = redirected(penny, to, *(run if command == "run" else (command,)), PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr.startswith("penny: standard output ")
    assert done.stderr.count("\n") == 1


def test_errors_and_input_that_are_closed(penny: Penny) -> None:
    done = redirected(penny, "2>&- <&-", "models", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("[")


def test_characters_the_encoding_does_not_have(penny: Penny) -> None:
    folder = str(penny.home / "caché")
    done = redirected(penny, "", "doctor", PYTHONIOENCODING="ascii", XDG_CACHE_HOME=folder)
    assert done.returncode == 0
    assert folder.replace("é", "?") in done.stdout
