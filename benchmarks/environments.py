"""The peers that are Python packages: each in a virtual environment of its own, with its own model files.

Everything is made once under `build/peers` and found there by later runs. OpenVINO reads GGUF files itself;
CTranslate2 and ONNX Runtime start from the file dequantised to a transformers checkpoint, and quantise it
again to what they run best (int8; int4 in blocks of 32). vLLM is missing: on PyPI its x86 package is the one
for GPUs, and its CPU build has to be compiled with oneDNN for hours.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.samples import Sample

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workload import Task

PACKAGES = {
    "openvino": "openvino-genai==2026.4.1.0",
    "ctranslate2": "ctranslate2==4.8.5",
    "onnxruntime": "onnxruntime-genai==0.18.0",
}
_CONVERTERS = ("torch", "transformers", "accelerate", "gguf", "onnx", "onnx-ir")
LABELS = {"openvino": "OpenVINO", "ctranslate2": "CTranslate2", "onnxruntime": "ONNX Runtime"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PackagePeer:
    """One package on one model file, measured by `benchmarks/<name>_speed.py` in its own environment."""

    name: str
    folder: Path
    model: Path
    root: Path  # of the repository, where the measuring program is found

    @property
    def label(self) -> str:
        return LABELS[self.name]

    def measure(self, task: Task, *, threads: int) -> Sample:
        """One run of the task in a fresh process."""
        python = environment(self.folder, self.name)
        program = (str(python), "-m", f"benchmarks.{self.name}_speed", str(self._files()))
        output = run_quietly(*program, task.to_json(), "--threads", str(threads), folder=self.root)
        return Sample.from_data(json.loads(output.splitlines()[-1]))

    def _files(self) -> Path:
        """The model as this package reads it."""
        if self.name == "openvino":
            return self.model
        return converted(self.folder, self.model, self.name, root=self.root)


def environment(folder: Path, name: str) -> Path:
    """The Python of the peer's environment, which is made if it is not there."""
    python = folder / name / "bin" / "python"
    if not (folder / name / "complete").exists():
        if name == "convert":
            packages = [*_CONVERTERS, PACKAGES["ctranslate2"], PACKAGES["onnxruntime"]]
        else:
            packages = [PACKAGES[name]]
        run_quietly(sys.executable, "-m", "venv", str(folder / name))
        run_quietly(str(python), "-m", "pip", "install", "--quiet", *packages)
        (folder / name / "complete").touch()
    return python


def converted(folder: Path, model: Path, name: str, *, root: Path) -> Path:
    """`model` converted for CTranslate2 or ONNX Runtime, made once through a transformers checkpoint."""
    target = folder / "models" / f"{model.stem}.{name}"
    if target.exists():
        return target
    python = environment(folder, "convert")
    checkpoint = folder / "models" / f"{model.stem}.checkpoint"
    if not checkpoint.exists():
        partial = _partial(checkpoint)
        run_quietly(str(python), "-m", "benchmarks.checkpoint", str(model), str(partial), folder=root)
        partial.rename(checkpoint)
    partial = _partial(target)
    if name == "ctranslate2":
        converter = str(python.with_name("ct2-transformers-converter"))
        quantised = ("--output_dir", str(partial), "--quantization", "int8")
        run_quietly(converter, "--model", str(checkpoint), *quantised)
    else:
        builder = (str(python), "-m", "onnxruntime_genai.models.builder", "-m", "none")
        files = ("-i", str(checkpoint), "-o", str(partial), "-c", str(folder / "models"))
        options = ("int4_accuracy_level=4", "int4_block_size=32", "hf_token=false")
        run_quietly(*builder, *files, "-p", "int4", "-e", "cpu", "--extra_options", *options)
    partial.rename(target)
    return target


def run_quietly(*command: str, folder: Path | None = None) -> str:
    """The command's standard output; RuntimeError with the end of what it said if it fails."""
    offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=offline)
    if done.returncode != 0:
        said = f"{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
        raise RuntimeError(f"{' '.join(command)} failed:\n{said}")
    return done.stdout


def _partial(target: Path) -> Path:
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    return partial
