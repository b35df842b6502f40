"""A server under test: started on a free port, waited for, stopped; ours and llama.cpp's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_PATIENCE_S = 60
_PATIENCE_TO_STOP_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerCommand:
    """How a server is started; `{port}` in the arguments becomes a free port."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """Where it answers, which process it is and what it serves."""

    url: str
    pid: int
    model: str  # the name it serves


@contextmanager
def running(command: ServerCommand) -> Iterator[RunningServer]:
    """Start the server, wait until `/health` says 200, and stop it at the end. RuntimeError if it dies."""
    port = _free_port()
    arguments = [part.replace("{port}", str(port)) for part in command.arguments]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data:  # what it stores is not what a person stored here
        process = subprocess.Popen(
            arguments,
            env={**os.environ, "XDG_DATA_HOME": data, **command.environment},
            cwd=command.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(url, process)
            yield RunningServer(url=url, pid=process.pid, model=_served(url))
        finally:
            _stop(process)


def penny_serve(model: Path, *, folder: Path, threads: int, isa: str | None) -> ServerCommand:
    """Our server with its defaults. It keeps what it shares within one model, so nothing is left to tune."""
    arguments = (sys.executable, "-m", "pennyweight", "serve", "--model", str(model), "--port", "{port}")
    environment = {} if isa is None else {"PENNYWEIGHT_ISA": isa}
    return ServerCommand(
        arguments=(*arguments, "--threads", str(threads)), environment=environment, folder=folder
    )


def llama_server(
    tools: Path, model: Path, *, threads: int, slots: int, slot_tokens: int, options: tuple[str, ...]
) -> ServerCommand:
    """llama-server with a slot per stream, each `slot_tokens` long."""
    sizes = ("--parallel", str(slots), "-c", str(slots * slot_tokens), "-t", str(threads))
    program = (str(tools / "llama-server"), "-m", str(model), "--port", "{port}", "--host", "127.0.0.1")
    return ServerCommand(arguments=(*program, *sizes, *options))


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then make it: a server in a long step does not listen."""
    process.terminate()
    try:
        process.wait(timeout=_PATIENCE_TO_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _served(url: str) -> str:
    with urlopen(f"{url}/v1/models", timeout=_PATIENCE_S) as answer:
        name: str = json.load(answer)["data"][0]["id"]
        return name


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline_s:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode}: {process.args!r}")
        try:
            with urlopen(f"{url}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.02)
    raise RuntimeError(f"the server was not ready after {_PATIENCE_S} s: {process.args!r}")
