"""The rows measured over HTTP: our server beside llama.cpp's, each started afresh for every measurement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contenders import OURS, ROOT, Contender, Server
from benchmarks.goals import ratio_goal, share_goal, value_goal
from benchmarks.http_tasks import Disturbed, FirstToken, HttpTask, LongPrompt, Streams
from benchmarks.row import Row
from benchmarks.servers import llama_server, penny_serve

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.llamacpp import LlamaCpp

CONFIGURATIONS = {
    "": ("-fa", "on"),
    ", no flash attention": ("-fa", "off"),
    ", int8 KV": ("-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0"),
}
SMALL_BATCHES = {", small batches": ("-fa", "on", "-b", "128", "-ub", "128")}


@dataclass(frozen=True, slots=True, kw_only=True)
class OverHttp:
    """What the rows are made from. `files`: S.Q4_1 and S.Q4_0."""

    files: Mapping[str, Path]
    builds: Mapping[str, LlamaCpp]
    threads: int

    def rows(self) -> list[Row]:
        """Every row, in the order of the table."""
        return [*self._streams(), *self._waits(), *self._long(), self._python()]

    def _streams(self) -> list[Row]:
        rows = [
            ("http-streams.Q4_1", "S.Q4_1", Streams(), "Q4_1"),
            ("http-streams.Q4_0", "S.Q4_0", Streams(), "Q4_0"),
            (
                "http-streams-sampled.Q4_0",
                "S.Q4_0",
                Streams(sampling="sampled"),
                "Q4_0, sampled on both sides",
            ),
        ]
        return [
            Row(
                key=key,
                title=f"32 requests over HTTP, prompts read and {task.tokens} tokens written, {told}",
                contenders=self._servers(file, task, CONFIGURATIONS, slots=task.streams, slot_tokens=512),
                goals=(ratio_goal("llama.cpp", 3.3),),
                headline=key == "http-streams.Q4_1",
            )
            for key, file, task, told in rows
        ]

    def _waits(self) -> list[Row]:
        first, disturbed = FirstToken(), Disturbed()
        tried = {**CONFIGURATIONS, **SMALL_BATCHES}
        return [
            Row(
                key="http-first-token.Q4_0",
                title="first token over HTTP behind a known 2,048-token prefix, Q4_0",
                contenders=self._servers("S.Q4_0", first, CONFIGURATIONS, slots=1, slot_tokens=8192),
                goals=(value_goal(20),),
                unit="ms",
                better="lower",
                headline=True,
            ),
            Row(
                key="http-disturbed.Q4_0",
                title="99th percentile gap of a stream while three prompts of 3,000-4,000 arrive, Q4_0",
                contenders=self._servers("S.Q4_0", disturbed, tried, slots=4, slot_tokens=8192),
                goals=(value_goal(80), share_goal("prompt_rate_share", 0.7)),
                unit="ms",
                better="lower",
                headline=True,
            ),
        ]

    def _long(self) -> list[Row]:
        decode = LongPrompt(reports="decode", prompt_tokens=5600)
        prompt = LongPrompt(reports="prompt", prompt_tokens=7500)
        rows = [
            ("http-decode-5600.Q4_0", "decode over HTTP behind 5,600 tokens, Q4_0", decode, 3.5),
            ("http-prompt-7500.Q4_0", "prompt of 7,500 over HTTP, Q4_0", prompt, 4),
        ]
        return [
            Row(
                key=key,
                title=title,
                contenders=self._servers("S.Q4_0", task, CONFIGURATIONS, slots=1, slot_tokens=8192),
                goals=(ratio_goal("llama.cpp", ratio),),
            )
            for key, title, task, ratio in rows
        ]

    def _python(self) -> Row:
        return Row(
            key="http-python.Q4_1",
            title="all of Python (HTTP, text, scheduling) at 32 streams, share of the cores, Q4_1",
            contenders=(self._penny_serve("S.Q4_1", Streams(reports="python")),),
            goals=(value_goal(10),),
            unit="%",
            better="lower",
            headline=True,
        )

    def _servers(
        self, file: str, task: HttpTask, tried: Mapping[str, tuple[str, ...]], *, slots: int, slot_tokens: int
    ) -> tuple[Contender, ...]:
        servers = [
            Server(
                family="llama.cpp",
                label=f"llama.cpp {name}{told}",
                command=llama_server(
                    build.tools,
                    self.files[file],
                    threads=self.threads,
                    slots=slots,
                    slot_tokens=slot_tokens,
                    options=options,
                ),
                task=task,
            )
            for name, build in self.builds.items()
            if name == "native" or file == "S.Q4_1"  # in process the AVX2 build is better on Q4_1 alone
            for told, options in tried.items()
        ]
        return (self._penny_serve(file, task), *servers)

    def _penny_serve(self, file: str, task: HttpTask) -> Contender:
        command = penny_serve(self.files[file], folder=ROOT, threads=self.threads, isa=None)
        return Server(family=OURS, label=OURS, command=command, task=task)
