"""The rows measured in process: each engine through its own tool or package, without a server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contenders import ROOT, Contender, LlamaTool, Ours, Package
from benchmarks.environments import PackagePeer
from benchmarks.goals import ratio_goal, share_goal
from benchmarks.row import Row
from benchmarks.workload import Task

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.llamacpp import LlamaCpp

PROMPT = Task(measured="prompt", context=512)
DECODE = Task(measured="decode", context=0, tokens=128)
STREAMS = Task(measured="decode", context=128, tokens=64, streams=32)
LONG_PROMPT = Task(measured="prompt", context=5600)
LONGEST_PROMPT = Task(measured="prompt", context=7500)
LONG_DECODE = Task(measured="decode", context=5600, tokens=64)
SHARED = Task(measured="decode", context=2048, tokens=32, streams=32, prefix="shared")
SAMPLED_DECODE = Task(measured="decode", context=0, tokens=128, sampling="sampled")
SAMPLED_STREAMS = Task(measured="decode", context=128, tokens=64, streams=32, sampling="sampled")

Tried = Mapping[str, tuple[str, ...]]
"""Options of llama.cpp by what the configuration is called."""

FLASH = ("-fa", "on")
PLAIN = ("-fa", "off")
INT8_KV = ("-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0")


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """What the rows are made from. `files`: S.Q4_1, S.Q4_0, S.Q4_0-pure (4-bit head), gemma where it is."""

    files: Mapping[str, Path]
    builds: Mapping[str, LlamaCpp]
    folder: Path  # of the peers
    threads: int

    def rows(self) -> list[Row]:
        """Every row, in the order of the table."""
        return [*self._prompts(), *self._decodes(), *self._long(), *self._avx2(), *self._gemma()]

    def _prompts(self) -> list[Row]:
        packages = ("openvino", "ctranslate2", "onnxruntime")
        return [
            Row(
                key="prompt.Q4_1",
                title="prompt of 512, Q4_1",
                contenders=self._both("S.Q4_1", PROMPT, packages=packages),
                goals=(
                    ratio_goal("llama.cpp", 6),
                    ratio_goal("OpenVINO", 1.25),
                    share_goal("int8_peak_share", 0.52),
                ),
                headline=True,
            ),
            Row(
                key="prompt.Q4_0",
                title="prompt of 512, Q4_0",
                contenders=self._both("S.Q4_0", PROMPT, packages=("openvino",)),
                goals=(ratio_goal("llama.cpp", 2.2), ratio_goal("OpenVINO", 1.25)),
                headline=True,
            ),
        ]

    def _decodes(self) -> list[Row]:
        packages = ("openvino", "ctranslate2", "onnxruntime")
        pure = self._llama("S.Q4_0-pure", DECODE, {"": FLASH, ", no flash attention": PLAIN})
        bound = share_goal("bandwidth_share", 0.85)
        return [
            Row(
                key="decode.Q4_1",
                title="decode, one stream, Q4_1",
                contenders=self._both("S.Q4_1", DECODE, packages=packages),
                goals=(ratio_goal("llama.cpp", 2.5), bound),
                headline=True,
            ),
            Row(
                key="decode.best",
                title="decode, one stream, Q4_1 against llama.cpp's fastest file (4-bit head)",
                contenders=(self._ours("S.Q4_1", DECODE), *pure),
                goals=(ratio_goal("llama.cpp", 1.4),),
            ),
            Row(
                key="decode.Q4_0",
                title="decode, one stream, Q4_0",
                contenders=self._both("S.Q4_0", DECODE, packages=("openvino",)),
                goals=(bound,),
            ),
            Row(
                key="decode-sampled.Q4_1",
                title="decode, one stream, Q4_1, sampled (llama-bench samples nothing)",
                contenders=self._both("S.Q4_1", SAMPLED_DECODE, packages=packages),
                goals=(ratio_goal("llama.cpp", 2.5),),
            ),
            Row(
                key="streams.Q4_1",
                title="decode, 32 streams, Q4_1",
                contenders=self._both("S.Q4_1", STREAMS, packages=packages),
                headline=True,
            ),
            Row(
                key="streams.Q4_0",
                title="decode, 32 streams, Q4_0",
                contenders=self._both("S.Q4_0", STREAMS, packages=("openvino",)),
                goals=(ratio_goal("llama.cpp", 2.9),),
                headline=True,
            ),
            Row(
                key="streams-sampled.Q4_0",
                title="decode, 32 streams, Q4_0, sampled (llama-batched-bench samples nothing)",
                contenders=self._both("S.Q4_0", SAMPLED_STREAMS, packages=("openvino",)),
                goals=(ratio_goal("llama.cpp", 2.9),),
            ),
        ]

    def _long(self) -> list[Row]:
        configurations: Tried = {"": FLASH, ", no flash attention": PLAIN, ", int8 KV": INT8_KV}
        shared: Tried = {", one cache": (*FLASH, "-kvu"), ", a cache per stream": (*FLASH, "-no-kvu")}
        rows = [
            ("decode-5600.Q4_0", "decode behind 5,600 tokens, Q4_0", LONG_DECODE, configurations, 3.5),
            ("prompt-5600.Q4_0", "prompt of 5,600, Q4_0", LONG_PROMPT, configurations, 4),
            ("prompt-7500.Q4_0", "prompt of 7,500, Q4_0", LONGEST_PROMPT, configurations, 4),
            (
                "shared-prefix.Q4_0",
                "decode, 32 streams behind one 2,048-token prefix, Q4_0",
                SHARED,
                shared,
                6,
            ),
        ]
        return [
            Row(
                key=key,
                title=title,
                contenders=(
                    self._ours("S.Q4_0", task),
                    *self._llama("S.Q4_0", task, tried, only="native"),
                    *self._packages("S.Q4_0", task, ("openvino",)),
                ),
                goals=(ratio_goal("llama.cpp", ratio),),
                headline=key != "prompt-5600.Q4_0",
            )
            for key, title, task, tried, ratio in rows
        ]

    def _avx2(self) -> list[Row]:
        rows = [
            ("avx2-prompt.Q4_1", "prompt of 512, Q4_1, AVX2 on both sides", "S.Q4_1", PROMPT, 2.5),
            ("avx2-prompt.Q4_0", "prompt of 512, Q4_0, AVX2 on both sides", "S.Q4_0", PROMPT, 1.4),
            ("avx2-decode.Q4_1", "decode, one stream, Q4_1, AVX2 on both sides", "S.Q4_1", DECODE, None),
            ("avx2-streams.Q4_0", "decode, 32 streams, Q4_0, AVX2 on both sides", "S.Q4_0", STREAMS, None),
        ]
        return [
            Row(
                key=key,
                title=title,
                contenders=(
                    self._ours(file, task, isa="avx2"),
                    *self._llama(file, task, {"": FLASH, ", no flash attention": PLAIN}, only="avx2"),
                ),
                goals=() if ratio is None else (ratio_goal("llama.cpp", ratio),),
                headline=key == "avx2-prompt.Q4_1",
            )
            for key, title, file, task, ratio in rows
            if "avx2" in self.builds
        ]

    def _gemma(self) -> list[Row]:
        if "gemma" not in self.files:
            return []
        packages = ("ctranslate2", "onnxruntime")
        rows = [
            ("prompt.gemma", "prompt of 512, Gemma 3 270M Q4_K_M", PROMPT, 1.5),
            ("decode.gemma", "decode, one stream, Gemma 3 270M Q4_K_M", DECODE, 1.3),
            ("streams.gemma", "decode, 32 streams, Gemma 3 270M Q4_K_M", STREAMS, None),
        ]
        return [
            Row(
                key=key,
                title=title,
                contenders=self._both("gemma", task, packages=packages),
                goals=() if ratio is None else (ratio_goal("llama.cpp", ratio),),
                headline=ratio is not None,
            )
            for key, title, task, ratio in rows
        ]

    def _both(self, file: str, task: Task, *, packages: Sequence[str]) -> tuple[Contender, ...]:
        tried = {"": FLASH, ", no flash attention": PLAIN}
        peers = (*self._llama(file, task, tried), *self._packages(file, task, packages))
        return (self._ours(file, task), *peers)

    def _ours(self, file: str, task: Task, *, isa: str | None = None) -> Contender:
        return Ours(model=self.files[file], task=task, threads=self.threads, isa=isa)

    def _llama(self, file: str, task: Task, tried: Tried, *, only: str | None = None) -> list[Contender]:
        return [
            LlamaTool(
                label=f"llama.cpp {name}{told}",
                build=build,
                model=self.files[file],
                task=task,
                threads=self.threads,
                options=options,
            )
            for name, build in self.builds.items()
            if only in (None, name)
            for told, options in tried.items()
        ]

    def _packages(self, file: str, task: Task, names: Sequence[str]) -> list[Contender]:
        model = self.files[file]
        peers = [PackagePeer(name=name, folder=self.folder, model=model, root=ROOT) for name in names]
        return [Package(peer=peer, task=task, threads=self.threads) for peer in peers]
