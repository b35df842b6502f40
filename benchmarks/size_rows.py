"""The rows of larger models: real shapes, random weights (`random_files`), against llama.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.contenders import LlamaTool, Ours
from benchmarks.in_process_rows import FLASH, PLAIN, PROMPT
from benchmarks.random_files import QUANTISATIONS, SHAPES, random_file
from benchmarks.row import Row
from benchmarks.workload import Task

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from benchmarks.llamacpp import LlamaCpp

TASKS = {
    "prompt": ("prompt of 512", PROMPT),
    "decode": ("decode, one stream", Task(measured="decode", context=0, tokens=32)),
    "streams": ("decode, 8 streams", Task(measured="decode", context=128, tokens=16, streams=8)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """What the rows are made from; the files are made in `folder` (12 GB)."""

    builds: Mapping[str, LlamaCpp]
    folder: Path
    threads: int

    def rows(self) -> Iterator[Row]:
        """One for each shape, type and task."""
        for shape in SHAPES:
            for quantisation in QUANTISATIONS:
                model = random_file(self.folder, shape, quantisation)
                for name, (told, task) in TASKS.items():
                    yield Row(
                        key=f"size-{name}.{shape.name}.{quantisation}",
                        title=f"{told}, shape of {shape.name}, {quantisation}",
                        contenders=(
                            Ours(model=model, task=task, threads=self.threads),
                            *self._llama(model, task),
                        ),
                    )

    def _llama(self, model: Path, task: Task) -> Iterator[LlamaTool]:
        for told, options in (("", FLASH), (", no flash attention", PLAIN)):
            yield LlamaTool(
                label=f"llama.cpp native{told}",
                build=self.builds["native"],
                model=model,
                task=task,
                threads=self.threads,
                options=options,
            )
