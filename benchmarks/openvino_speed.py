"""OpenVINO GenAI on a task; it reads the GGUF file itself and keeps the weights' 4 bits.

Its best settings here: as many threads as cores, int8 KV (its default on x86), continuous batching, the
prefix cache only where the task shares a prefix. Run by its own environment.
"""

from __future__ import annotations

import numpy as np
import openvino
import openvino_genai

from benchmarks.timed_generation import parse_arguments, report, time_task
from benchmarks.workload import TEMPERATURE, TOP_P, Sampling, Task


class Pipeline:
    """A loaded model; `generate` is what `time_task` calls."""

    def __init__(self, model: str, task: Task, *, threads: int) -> None:
        scheduler = openvino_genai.SchedulerConfig()
        scheduler.enable_prefix_caching = task.prefix == "shared"
        scheduler.max_num_seqs = max(task.streams, 1)
        scheduler.cache_size = 4  # GB
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        self._pipeline = openvino_genai.ContinuousBatchingPipeline(model, scheduler, "CPU", settings)

    def generate(self, prompts: list[list[int]], num_tokens: int, sampling: Sampling) -> None:
        config = openvino_genai.GenerationConfig()
        config.max_new_tokens = num_tokens
        config.ignore_eos = True
        config.apply_chat_template = False
        config.do_sample = sampling == "sampled"
        if config.do_sample:
            config.temperature, config.top_p = TEMPERATURE, TOP_P
        tensors = [openvino.Tensor(np.array([prompt], dtype=np.int64)) for prompt in prompts]
        self._pipeline.generate(tensors, [config] * len(prompts))


def main() -> None:
    arguments = parse_arguments()
    pipeline = Pipeline(arguments.model, arguments.task, threads=arguments.threads)
    report(time_task(arguments.task, pipeline.generate))


if __name__ == "__main__":
    main()
