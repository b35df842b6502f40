"""lm-evaluation-harness against a running server: its numbers are the engine's.

The harness lives in a virtual environment of its own (`make lm-eval`): its dependencies are not ours.
"""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.api import Engine
from pennyweight.core import CacheNamespace, FinishedEvent, Request, SamplingParams, TokenSpan
from tests.server.live import LiveServer, eventually, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.core import Event

pytestmark = pytest.mark.model

QUESTIONS: tuple[dict[str, Any], ...] = (
    {"question": "The capital of France is", "choices": ["Paris", "Rome"], "answer": 0},
    {"question": "Grass is usually", "choices": ["purple", "green", "made of glass"], "answer": 1},
    {"question": "One, two, three,", "choices": ["four", "cheese"], "answer": 0},
)
SCORING = """\
task: penny_choice
dataset_path: json
dataset_kwargs: {data_files: %(data)s}
test_split: train
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}]
"""
WRITING = """\
task: penny_write
dataset_path: json
dataset_kwargs: {data_files: %(data)s}
test_split: train
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{choices[answer]}}"
generation_kwargs: {until: ["\\n"], max_gen_toks: 8}
metric_list: [{metric: exact_match}]
"""


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with Engine.open(context=512, parallel=2, threads=1) as engine, live_server(engine) as server:
        yield server


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    data = tmp_path / "questions.jsonl"
    data.write_text("".join(json.dumps(question) + "\n" for question in QUESTIONS))
    for name, task in (("choice", SCORING), ("write", WRITING)):
        (tmp_path / f"{name}.yaml").write_text(task % {"data": data})
    return tmp_path


def samples(folder: Path, task: str, server: LiveServer, *arguments: str) -> list[dict[str, Any]]:
    """What the harness asked and heard, one entry a question."""
    python = os.environ.get("PENNYWEIGHT_LM_EVAL")
    if python is None:
        pytest.skip("PENNYWEIGHT_LM_EVAL does not name a Python with lm_eval; run `make lm-eval`")
    command = [python, "-m", "lm_eval", "run", "--tasks", task, "--include_path", str(folder)]
    command += ["--log_samples", "--output_path", str(folder / "out"), *arguments]
    away = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "cache")}
    done = subprocess.run(command, env={**os.environ, **away}, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    (written,) = (folder / "out").rglob(f"samples_{task}_*.jsonl")
    found = [json.loads(line) for line in written.read_text().splitlines()]
    assert len(found) == len(QUESTIONS)
    assert server.engine.is_serving
    return sorted(found, key=lambda sample: int(sample["doc_id"]))


def engine_score(engine: Engine, context: str, continuation: str) -> tuple[float, bool]:
    """The same two numbers, from the engine itself."""
    encode = engine.answerer.tokenizer.encode
    tokens, start = tuple(encode(context + continuation)), len(encode(context))
    heard: list[FinishedEvent] = []
    request = Request(
        id="direct",
        prompt=(TokenSpan(tokens),),
        sampling=SamplingParams(max_tokens=0, top_logprobs=1),
        namespace=CacheNamespace(model="direct"),
        prompt_logprobs=True,
    )

    def listen(event: Event) -> None:
        if isinstance(event, FinishedEvent):
            heard.append(event)

    engine._loop.submit(request, listen)
    eventually(lambda: bool(heard))
    scores, tops = heard[0].prompt_logprobs, heard[0].prompt_top
    assert scores is not None
    wanted = scores[start:]
    best = [top[0].logprob for top in tops[start:]]
    return sum(value for value in wanted if value is not None), list(wanted) == best


def test_completions_are_scored_as_the_engine_scores(server: LiveServer, tasks: Path) -> None:
    where = f"model={server.model},base_url={server.url}/v1/completions,num_concurrent=1"
    found = samples(tasks, "penny_choice", server, "--model", "local-completions", "--model_args", where)
    greedy = []
    for question, sample in zip(QUESTIONS, found, strict=True):
        for choice, (heard,) in zip(question["choices"], sample["resps"], strict=True):
            logprob, is_greedy = engine_score(server.engine, question["question"], f" {choice}")
            assert float(heard[0]) == pytest.approx(logprob, abs=1e-6)
            assert str(heard[1]) == str(is_greedy)
            greedy.append(is_greedy)
        assert sample["acc"] == 1
    assert set(greedy) == {True, False}


def test_chat_completions_are_what_the_engine_says(server: LiveServer, tasks: Path) -> None:
    where = f"model={server.model},base_url={server.url}/v1/chat/completions,num_concurrent=1"
    chat = ("--model", "local-chat-completions", "--model_args", where, "--apply_chat_template")
    found = samples(tasks, "penny_write", server, *chat)
    for question, sample in zip(QUESTIONS, found, strict=True):
        answer = server.engine.chat(question["question"], temperature=0, max_tokens=8, stop="\n")
        assert sample["resps"] == [[answer.text]]
