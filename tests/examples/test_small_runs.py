"""The examples run through, small: a real `penny serve` process, the official client, a tiny random model."""

from __future__ import annotations

import json
import signal
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from examples.classify.__main__ import main as classify
from examples.distill.__main__ import main as distill
from examples.preference.__main__ import main as preference
from examples.receipts.__main__ import main as receipts
from examples.reward.__main__ import main as reward
from tests.cli.conftest import penny
from tests.cli.test_serve import started
from tests.examples.small_data import write_headlines, write_lines, write_receipts
from tests.house.sources import ROOT
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.penny import Penny

__all__ = ["penny"]  # the fixture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_llama(tmp_path_factory.mktemp("examples") / "tiny.gguf", context_length=2048)


@contextmanager
def server(penny: Penny, model: Path) -> Iterator[None]:
    """Serves `model` where the examples look for it, on one thread."""
    process, url = started(penny, model, "--threads", "1")
    penny.monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def table(path: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())[name]
    return found


def test_every_answer_about_a_receipt_is_valid(penny: Penny, model: Path, tmp_path: Path) -> None:
    data, results = write_receipts(tmp_path / "receipts.jsonl", 12), tmp_path / "results.json"
    with server(penny, model):
        kept = ["--results", str(results)]
        receipts([*kept, "score", str(data), "--model", "tiny", "--as", "base", "--part", "train"])
    row = table(results, "train")["base"]
    assert (row["valid"], row["model"]) == (1.0, "tiny")
    assert row["receipts"] > 4


def test_a_tuned_model_answers_about_receipts_after_a_restart(
    penny: Penny, model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("peft")
    data, results = write_receipts(tmp_path / "receipts.jsonl", 24), tmp_path / "results.json"
    kept = ["--results", str(results)]
    with server(penny, model):
        receipts([*kept, "tune", str(data), "--model", "tiny", "--seed", "1", "--epochs", "1"])
    trained = table(results, "trainings")["seed 1"]
    assert trained["model"].startswith("ft:tiny:pennyweight:receipts:")
    assert trained["trained_tokens"] > 0
    with server(penny, model):
        receipts([*kept, "score", str(data), "--model", trained["model"], "--as", "tuned, seed 1"])
    row = table(results, "test")["tuned, seed 1"]
    assert (row["valid"], row["model"]) == (1.0, trained["model"])


def test_what_a_program_rewards_is_learnt_and_served(penny: Penny, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    prompts, results = tmp_path / "prompts.jsonl", tmp_path / "results.json"
    kept = ["--results", str(results)]
    reward([*kept, "prompts", "--tasks", "10", "--out", str(prompts)])
    judge = f"{sys.executable} {ROOT / 'examples' / 'reward' / 'short.py'}"
    flags = ["--method", "grpo", "--reward", judge, "--epochs", "1", "--threads", "1"]
    sizes = ["--max-answer-tokens", "8", "--group-size", "4"]
    with penny.start("tune", str(prompts), "--model", str(model), *flags, *sizes) as process:
        name, told = process.communicate(timeout=120)
    assert process.returncode == 0, told
    assert "Step 2/2: reward=0." in told
    (job,) = json.loads(penny.run("tune", "list", "--json").stdout)
    with server(penny, model):
        reward([*kept, "curve", job["id"], "--as", "short"])
        asked = ["--model", name.strip(), "--tasks", "3"]
        reward([*kept, "score", *asked, "--as", "short"])
    assert [point["step"] for point in table(results, "curves")["short"]["points"]] == [1, 2]
    assert 0 <= table(results, "test")["short"]["right_sampled"] <= 1


def test_headlines_prompts_and_tasks_are_asked_and_scored(penny: Penny, model: Path, tmp_path: Path) -> None:
    results, lessons, pairs = (tmp_path / name for name in ("results.json", "lessons.jsonl", "pairs.jsonl"))
    headlines = write_headlines(tmp_path / "headlines.jsonl", 20)
    prompts = write_lines(tmp_path / "prompts.jsonl", [{"turns": [f"What is {i}?"]} for i in range(12)])
    kept = ["--results", str(results)]
    asked = ["--base", "tiny", "--max-tokens", "6"]
    with server(penny, model):
        classify(
            [*kept, "--sizes", "5", "5", "10", "score", str(headlines), "--model", "tiny", "--as", "base"]
        )
        preference([*kept, *asked, "pairs", str(prompts), "--out", str(pairs), "--samples", "2"])
        preference([*kept, *asked, "score", str(prompts), "--model", "tiny", "--as", "itself"])
        distill([*kept, "teach", "--model", "tiny", "--samples", "2", "--tasks", "4", "--out", str(lessons)])
    rows = table(results, "test")
    assert 0 <= rows["base"]["accuracy"] <= 1
    itself = rows["itself"]
    assert (itself["win_rate"], itself["kl_per_answer"]) == (0.5, 0.0)
    assert itself["ties"] == itself["prompts"] > 0
    assert table(results, "teaching")["teacher"]["lessons"] == len(lessons.read_text().splitlines())
    assert pairs.exists()
