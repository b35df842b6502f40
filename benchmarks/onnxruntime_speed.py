"""ONNX Runtime GenAI on a task, from the dequantised checkpoint as int4 blocks of 32 with int8 activations.

Run by its own environment. The number of threads is set in the model folder's `genai_config.json` when it is
made (`benchmarks/environments.py`), for the package takes it from there alone.
"""

from __future__ import annotations

import numpy as np
import onnxruntime_genai

from benchmarks.timed_generation import parse_arguments, report, time_task
from benchmarks.workload import TEMPERATURE, TOP_P, Sampling


class Generator:
    """A loaded model; `generate` is what `time_task` calls."""

    def __init__(self, folder: str) -> None:
        self._model = onnxruntime_genai.Model(folder)

    def generate(self, prompts: list[list[int]], num_tokens: int, sampling: Sampling) -> None:
        parameters = onnxruntime_genai.GeneratorParams(self._model)
        length = len(prompts[0]) + num_tokens
        options: dict[str, float] = {"max_length": length, "min_length": length, "batch_size": len(prompts)}
        if sampling == "sampled":
            options |= {"do_sample": True, "temperature": TEMPERATURE, "top_p": TOP_P}
        parameters.set_search_options(**options)
        generator = onnxruntime_genai.Generator(self._model, parameters)
        generator.append_tokens(np.array(prompts, dtype=np.int32))
        while not generator.is_done():
            generator.generate_next_token()


def main() -> None:
    arguments = parse_arguments()
    report(time_task(arguments.task, Generator(arguments.model).generate))


if __name__ == "__main__":
    main()
