"""Who takes part in a row: one engine, in one configuration, on one task, measured once by `measure`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from benchmarks.http_tasks import measure_server
from benchmarks.samples import Sample

if TYPE_CHECKING:
    from benchmarks.environments import PackagePeer
    from benchmarks.http_tasks import HttpTask
    from benchmarks.llamacpp import LlamaCpp
    from benchmarks.servers import ServerCommand
    from benchmarks.workload import Task

ROOT = Path(__file__).parents[1]
OURS = "Pennyweight"


class Contender(Protocol):
    """`family` is the engine, `label` the configuration; a family counts with its best one."""

    @property
    def family(self) -> str: ...
    @property
    def label(self) -> str: ...
    def measure(self) -> Sample: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """This engine's decoder in a process of its own; `isa` None takes the best instruction set."""

    model: Path
    task: Task
    threads: int
    isa: str | None = None
    family: str = OURS

    @property
    def label(self) -> str:
        return self.family if self.isa is None else f"{self.family} {self.isa}"

    def measure(self) -> Sample:
        """One run, see `decoder_speed`."""
        return _run("benchmarks.decoder_speed", self.model, self.task.to_json(), self.threads, isa=self.isa)


@dataclass(frozen=True, slots=True, kw_only=True)
class OurProgram:
    """This engine against itself: a program of this package that takes a model and a task in JSON."""

    program: str
    model: Path
    task: str
    threads: int
    family: str = OURS
    label: str = OURS

    def measure(self) -> Sample:
        """One run of the program."""
        return _run(self.program, self.model, self.task, self.threads, isa=None)


def _run(program: str, model: Path, task: str, threads: int, *, isa: str | None) -> Sample:
    environment = {name: value for name, value in os.environ.items() if name != "PENNYWEIGHT_ISA"}
    if isa is not None:
        environment["PENNYWEIGHT_ISA"] = isa
    command = [sys.executable, "-m", program, str(model), task, "--threads", str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return Sample.from_data(json.loads(done.stdout.splitlines()[-1]))


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaTool:
    """One build of llama.cpp with some options, measured by its own tools."""

    label: str
    build: LlamaCpp
    model: Path
    task: Task
    threads: int
    options: tuple[str, ...]
    family: str = "llama.cpp"

    def measure(self) -> Sample:
        return self.build.measure(self.model, self.task, threads=self.threads, options=self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A Python package on a task."""

    peer: PackagePeer
    task: Task
    threads: int

    @property
    def family(self) -> str:
        return self.peer.label

    @property
    def label(self) -> str:
        return self.peer.label

    def measure(self) -> Sample:
        return self.peer.measure(self.task, threads=self.threads)


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A server in one configuration, asked over HTTP."""

    family: str
    label: str
    command: ServerCommand
    task: HttpTask

    def measure(self) -> Sample:
        return measure_server(self.command, self.task)
