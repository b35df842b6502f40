"""A work folder from plan to adapter: learnt by heart, resumed to the bit, killed, refused, diverged."""

from __future__ import annotations

import csv
import io
import json
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.tune.plan import PLAN_FILE
from pennyweight.tune.processes import Processes
from pennyweight.tune.protocol import Events
from pennyweight.tune.work import FAILED, FINISHED, INVALID, run
from tests.models.gguf_writer import RawTensor, write_gguf
from tests.models.tiny import llama_shape, tiny_metadata, tiny_tensors
from tests.tune.lines import example, examples, preferences, write_lines

pytest.importorskip("torch", reason="the extra tune is not installed")
pytest.importorskip("peft", reason="the extra tune is not installed")

if TYPE_CHECKING:
    from pathlib import Path

NEVER = 1e6


@dataclass
class StopAfter:
    """Asks to stop once it was asked `polls` times."""

    polls: float = float("inf")

    @property
    def is_set(self) -> bool:
        self.polls -= 1
        return self.polls < 0


@pytest.fixture(scope="session")
def make(tiny_llama_path: Path) -> Any:
    def made(folder: Path, lines: list[Any] | None = None, **plan: Any) -> Path:
        folder.mkdir()
        write_lines(folder / "train.jsonl", examples() if lines is None else lines)
        usual = {"model": str(tiny_llama_path), "training_file": "train.jsonl", "threads": 1, "batch_size": 4}
        told = usual | {"precision": "float32", "lora_rank": 8, "checkpoint_s": NEVER} | plan
        (folder / PLAN_FILE).write_text(json.dumps(told))
        return folder

    return made


def train(folder: Path, *, polls: float = float("inf")) -> tuple[int, list[dict[str, Any]]]:
    file = io.StringIO()
    code = run(folder, Events(file), StopAfter(polls), Processes())
    return code, [json.loads(line) for line in file.getvalue().splitlines()]


def of(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


def weights(folder: Path) -> bytes:
    return (folder / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_ten_examples_are_learnt_by_heart(make: Any, precision: str, tmp_path: Path) -> None:
    folder = make(tmp_path / "w", n_epochs=25, learning_rate_multiplier=5, precision=precision)
    write_lines(folder / "valid.jsonl", examples()[:3])
    told = json.loads((folder / PLAN_FILE).read_text()) | {"validation_file": "valid.jsonl"}
    (folder / PLAN_FILE).write_text(json.dumps(told | {"dollars_per_hour": 1.0}))
    code, events = train(folder)
    assert code == FINISHED
    validated, last = of(events, "validated")[0], of(events, "step")[-1]
    assert (validated["num_examples"], validated["num_steps"], last["step"]) == (10, 75, 75)
    assert last["train_loss"] < 0.3 < of(events, "step")[0]["train_loss"]
    assert last["valid_mean_token_accuracy"] > 0.9
    (finished,) = of(events, "finished")
    assert finished["trained_tokens"] == validated["planned_tokens"] == last["tokens"]
    checkpoints = of(events, "checkpoint")
    assert [one["epoch_end"] for one in checkpoints] == [True] * 25
    assert checkpoints[-1]["metrics"]["full_valid_mean_token_accuracy"] > 0.9
    rows = list(csv.DictReader(io.StringIO((folder / finished["metrics_file"]).read_text())))
    assert float(rows[-1]["train_loss"]) == last["train_loss"]
    card = (folder / "adapter" / "README.md").read_text()
    assert "| epochs | 25 |" in card
    assert "| cost | $" in card
    assert train(folder)[1][-1] == finished


def test_a_resumed_training_is_the_uninterrupted_one(make: Any, tmp_path: Path) -> None:
    _, whole = train(make(tmp_path / "whole", n_epochs=4))
    folder = make(tmp_path / "parts", n_epochs=4)
    parts: list[dict[str, Any]] = []
    for polls in (7, 8, float("inf")):
        code, events = train(folder, polls=polls)
        assert code == FINISHED
        parts += of(events, "step")
        told = [event["step"] for event in of(events, "step")]
        assert told == list(range(1, len(told) + 1)), "what was told before is told again"
        assert (events[-1]["event"] == "stopped") == (polls < NEVER)
    losses = {event["step"]: event["train_loss"] for event in parts}
    assert len(losses) == 12
    assert all(event["train_loss"] == losses[event["step"]] for event in parts)
    assert list(losses.values()) == [event["train_loss"] for event in of(whole, "step")]
    assert weights(folder) == weights(tmp_path / "whole")


def test_killed_and_terminated_it_goes_on(make: Any, tmp_path: Path) -> None:
    folder = make(tmp_path / "w", n_epochs=300, checkpoint_s=0)
    for number, after in ((signal.SIGKILL, 3), (signal.SIGTERM, 5)):
        command = [sys.executable, "-m", "pennyweight.tune", str(folder)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            seen = []
            for line in process.stdout:
                seen.append(json.loads(line))
                if len(of(seen, "checkpoint")) == after:
                    process.send_signal(number)
            process.wait()
        if number == signal.SIGTERM:
            assert seen[-1] == {"event": "stopped", "step": of(seen, "checkpoint")[-1]["step"]}
            assert process.returncode == 0
    steps = [event["step"] for event in of(seen, "step")]
    assert steps == list(range(1, len(steps) + 1)), "what the killed one had kept is told, not done again"
    told = json.loads((folder / PLAN_FILE).read_text())
    assert len(list((folder / "checkpoints").glob("step-*/state"))) == 1
    assert told["n_epochs"] == 300


def test_two_processes_make_the_steps_of_one(make: Any, tmp_path: Path) -> None:
    plan = {"n_epochs": 2, "pack_tokens": 60}  # two packs in most steps
    _, alone = train(make(tmp_path / "alone", **plan))
    folder = make(tmp_path / "two", **plan)
    launch = "accelerate.commands.launch --cpu --num_processes 2 --num_machines 1 --mixed_precision no"
    command = [sys.executable, "-m", *launch.split(), "--dynamo_backend", "no", "-m", "pennyweight.tune"]
    done = subprocess.run([*command, str(folder)], check=True, capture_output=True, text=True)
    together = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in together] == [event["event"] for event in alone]
    losses = [event["train_loss"] for event in of(alone, "step")]
    assert [event["train_loss"] for event in of(together, "step")] == pytest.approx(losses, rel=1e-4)


def test_preferences_move_the_margin(make: Any, tmp_path: Path) -> None:
    folder = make(
        tmp_path / "w", preferences(), method="dpo", n_epochs=8, learning_rate_multiplier=20, beta=0.5
    )
    _, events = train(folder, polls=30)
    assert events[-1]["event"] == "stopped"
    _, events = train(folder)
    assert of(events, "validated")[0]["beta"] == 0.5
    last = of(events, "step")[-1]
    assert last["reward_accuracy"] == 1.0
    assert last["reward_margin"] > 1
    assert last["train_loss"] < np.log(2)
    assert "reward_margin" in (folder / "step_metrics.csv").read_text().splitlines()[0]


def test_the_first_loss_of_preferences_is_that_of_no_opinion(make: Any, tmp_path: Path) -> None:
    folder = make(tmp_path / "w", preferences(), method="dpo", n_epochs=1)
    _, events = train(folder)
    assert of(events, "step")[0]["train_loss"] == pytest.approx(np.log(2), abs=1e-6)


def test_a_bad_file_is_told_by_line(make: Any, tmp_path: Path) -> None:
    folder = make(tmp_path / "w", [*examples(), "{", {"messages": []}])
    code, events = train(folder)
    assert code == INVALID
    (invalid,) = events
    assert [error["line"] for error in invalid["errors"]] == [11, 12]
    assert invalid["num_errors"] == 2
    assert not (folder / "adapter").exists()


def test_long_examples_are_named_not_cut(make: Any, tmp_path: Path) -> None:
    code, events = train(make(tmp_path / "w", [*examples(), example("x" * 90, "y")], context=64))
    (error,) = events[0]["errors"]
    assert (code, error["line"], error["code"]) == (INVALID, 11, "context_length_exceeded")
    assert "tokens and the context holds 64" in error["message"]


def test_no_more_tokens_than_allowed(make: Any, tmp_path: Path) -> None:
    code, events = train(make(tmp_path / "w", n_epochs=2, max_tokens=100))
    assert (code, events[0]["errors"][0]["code"]) == (INVALID, "token_limit_exceeded")


def test_a_loss_that_is_no_number_names_its_step(make: Any, tmp_path: Path) -> None:
    shape = llama_shape(kind="F32", num_layers=1)
    tensors = tiny_tensors(shape)
    broken = np.full(shape.d_model, np.inf, np.float32)
    tensors["output_norm.weight"] = RawTensor("F32", broken.shape, broken.tobytes())
    path = write_gguf(tmp_path / "broken.gguf", tiny_metadata(shape), tensors)
    folder = make(tmp_path / "w", model=str(path))
    code, events = train(folder)
    assert code == FAILED
    assert (events[-1]["code"], events[-1]["step"]) == ("nan_loss", 1)
    assert "step 1" in events[-1]["message"]
    assert not (folder / "adapter").exists()


def test_a_disk_that_takes_no_more_fails_and_resumes(make: Any, tmp_path: Path) -> None:
    folder = make(tmp_path / "w", n_epochs=2, checkpoint_s=0)
    before = train(folder, polls=6)[1]
    assert before[-1]["event"] == "stopped"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        code, events = train(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (code, events[-1]["code"]) == (FAILED, "disk_full")
    assert not (folder / "adapter").exists()
    code, events = train(folder)
    assert (code, events[-1]["event"]) == (FINISHED, "finished")
    assert of(events, "step")[0] == of(before, "step")[0], "told again, speed and all, and not done again"


def test_another_plan_does_not_go_on_from_these_checkpoints(make: Any, tmp_path: Path) -> None:
    folder = make(tmp_path / "w", checkpoint_s=0)
    train(folder, polls=6)
    told = json.loads((folder / PLAN_FILE).read_text())
    (folder / PLAN_FILE).write_text(json.dumps(told | {"seed": 9}))
    code, events = train(folder)
    assert code == FAILED
    assert "another plan" in events[-1]["message"]
