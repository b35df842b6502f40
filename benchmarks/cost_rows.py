"""The rows of what running costs beside speed: how long a start takes, how much memory stays resident."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import start_up
from benchmarks.contenders import OURS, ROOT, Contender
from benchmarks.goals import ratio_goal, value_goal
from benchmarks.memory import CONTEXT, KV_OPTIONS, STREAMS, Resident
from benchmarks.row import Row
from benchmarks.samples import Sample
from benchmarks.servers import llama_server, penny_serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.llamacpp import LlamaCpp


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """The start of one engine in seconds, see `start_up`; without `build` it is ours."""

    family: str
    model: Path
    build: LlamaCpp | None
    threads: int

    @property
    def label(self) -> str:
        return self.family

    def measure(self) -> Sample:
        """One start, after one that filled the system's cache."""
        figures = start_up.measure(self.model, build=self.build, rounds=1, threads=self.threads)
        own = figures["pennyweight" if self.build is None else "llama.cpp"]
        return Sample(value=own["median"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the rows are made from."""

    files: Mapping[str, Path]
    builds: Mapping[str, LlamaCpp]
    threads: int

    def rows(self) -> list[Row]:
        """Every row, in the order of the table."""
        return [self._start_row(), *self._memory()]

    def _start_row(self) -> Row:
        ours, theirs = self._start(OURS, None), self._start("llama.cpp", self.builds["native"])
        return Row(
            key="start.Q4_1",
            title="process start to first token of `penny run`, Q4_1 (llama-bench: load and one token)",
            contenders=(ours, theirs),
            goals=(value_goal(0.5),),
            unit="s",
            better="lower",
            headline=True,
        )

    def _memory(self) -> list[Row]:
        """The goals are shares of what llama.cpp holds with either type of keys and values: 65, 115 %."""
        return [
            Row(
                key="memory-idle.Q4_1",
                title=f"resident memory of a server, room for {STREAMS} contexts, nothing asked yet, Q4_1",
                contenders=self._servers(streams=0),
                goals=(value_goal(260),),
                unit="MB",
                better="lower",
                timed=False,
            ),
            Row(
                key="memory-full.Q4_1",
                title=f"resident memory, {STREAMS} streams full at {CONTEXT:,} tokens, Q4_1",
                contenders=self._servers(streams=STREAMS),
                goals=(
                    ratio_goal("llama.cpp f16 KV", round(1 / 0.65, 2)),
                    ratio_goal("llama.cpp q8_0 KV", round(1 / 1.15, 2)),
                ),
                unit="MB",
                better="lower",
                headline=True,
                timed=False,
            ),
        ]

    def _servers(self, *, streams: int) -> tuple[Contender, ...]:
        model, threads = self.files["S.Q4_1"], self.threads
        ours = penny_serve(model, folder=ROOT, threads=threads, isa=None)
        theirs = {
            f"llama.cpp {name}": llama_server(
                self.builds["native"].tools,
                model,
                threads=threads,
                slots=STREAMS,
                slot_tokens=CONTEXT,
                options=options,
            )
            for name, options in KV_OPTIONS.items()
        }
        return tuple(
            Resident(family=name, label=name, command=command, streams=streams)
            for name, command in {OURS: ours, **theirs}.items()
        )

    def _start(self, family: str, build: LlamaCpp | None) -> Contender:
        return Start(family=family, model=self.files["S.Q4_1"], build=build, threads=self.threads)
