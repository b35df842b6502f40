"""CTranslate2 on a task, from the dequantised checkpoint as int8. Run by its own environment."""

from __future__ import annotations

import json
from pathlib import Path

import ctranslate2

from benchmarks.timed_generation import parse_arguments, report, time_task
from benchmarks.workload import TEMPERATURE, TOP_P, Sampling


class Generator:
    """A loaded model; `generate` is what `time_task` calls. Sequences of a batch run to the same length."""

    def __init__(self, folder: str, *, threads: int) -> None:
        self._generator = ctranslate2.Generator(
            folder, device="cpu", compute_type="int8", intra_threads=threads, inter_threads=1
        )
        self._names = json.loads((Path(folder) / "vocabulary.json").read_text(encoding="utf-8"))

    def generate(self, prompts: list[list[int]], num_tokens: int, sampling: Sampling) -> None:
        chosen = {"sampling_temperature": TEMPERATURE, "sampling_topp": TOP_P}
        self._generator.generate_batch(
            [[self._names[token] for token in prompt] for prompt in prompts],
            max_batch_size=len(prompts),
            max_length=num_tokens,
            min_length=num_tokens,
            sampling_topk=0 if sampling == "sampled" else 1,
            **(chosen if sampling == "sampled" else {}),
            include_prompt_in_result=False,
        )


def main() -> None:
    arguments = parse_arguments()
    generator = Generator(arguments.model, threads=arguments.threads)
    report(time_task(arguments.task, generator.generate))


if __name__ == "__main__":
    main()
