"""`penny tune`: a stand-in trains, all around it is real; alone, and beside a server of the same folder."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pennyweight.jobs.trainer_process import Trainer
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.verify import verify
from tests.jobs.service import Service
from tests.jobs.tuning import STAND_IN, examples
from tests.models.tiny import write_tiny_llama

if TYPE_CHECKING:
    from tests.cli.penny import Penny

IMPAIRED = str(Path(__file__).parents[1] / "jobs" / "impaired.py")


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_tiny_llama(tmp_path / "tiny.gguf"))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "here", lambda: STAND_IN)


def data(tmp_path: Path, mood: str = "well") -> str:
    path = tmp_path / f"{mood}.jsonl"
    path.write_bytes(examples(mood))
    return str(path)


def test_from_a_file_to_a_folder(penny: Penny, tmp_path: Path, model: str) -> None:
    out = tmp_path / "adapter"
    flags = ["--suffix", "own", "--epochs", "3", "--seed", "5", "--output", str(out)]
    done = penny.run("tune", data(tmp_path), "--model", model, *flags)
    assert done.returncode == 0, done.stderr
    name = done.stdout.strip()
    assert name.startswith("ft:tiny:pennyweight:own:")
    assert {path.name for path in out.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "README.md",
    }
    assert (out / "adapter_model.safetensors").read_bytes() == b"what was learnt up to 6 with 5"
    assert "Step 6/6: training loss=0.1667; 1,000 tokens/s, 0:01 left" in done.stderr
    assert f"New fine-tuned model created: {name}" in done.stderr
    (job,) = json.loads(penny.run("tune", "list", "--json").stdout)
    assert (job["state"], job["fine_tuned_model"], job["trained_tokens"]) == ("succeeded", name, 60)
    assert job["id"] in penny.run("tune", "list").stdout
    shown = penny.run("tune", "show", job["id"]).stdout
    assert "state: succeeded" in shown
    assert "The job has successfully completed" in shown
    usage = json.loads(penny.run("usage", "--by", "kind", "--json").stdout)
    (row,) = usage["rows"]
    assert (row["kind"], row["prompt_tokens"], row["requests"]) == ("training", 60, 1)
    assert row["cpu_seconds"] > 0
    folder = tmp_path / "data" / "pennyweight"
    with Database.open(DataFolder.open(str(folder)).database_url) as database:
        assert [verdict for verdict in verify(database, folder) if verdict.findings] == []
    assert not list((folder / "tuning").iterdir())


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--epochs", "0"], "out of range"),
        (["--beta", "0.1"], "it goes with --method dpo or --method grpo"),
        (["--suffix", "a b"], "1 to 64 letters"),
        (["--model", "gpt-9"], "no model 'gpt-9'"),
        (["--validation", "nowhere.jsonl"], "there is no file nowhere.jsonl"),
        (["--reward", "true"], "--reward means nothing to --method supervised"),
        (["--method", "grpo"], "give it with --reward COMMAND"),
        (["--method", "grpo", "--reward", "true", "--group-size", "1"], "out of range"),
    ],
)
def test_what_cannot_be_done_is_told_first(
    penny: Penny, tmp_path: Path, model: str, flags: list[str], message: str
) -> None:
    done = penny.run("tune", data(tmp_path), "--model", model, *flags)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr
    assert not (tmp_path / "data").exists()


def test_a_reward_is_a_program_run_from_here(penny: Penny, tmp_path: Path, model: str) -> None:
    flags = ["--method", "grpo", "--reward", "judge --all", "--group-size", "4"]
    done = penny.run("tune", data(tmp_path), "--model", model, *flags)
    assert done.returncode == 0, done.stderr
    (job,) = json.loads(penny.run("tune", "list", "--json").stdout)
    chosen = job["hyperparameters"]
    assert (job["method"], chosen["reward_command"], chosen["group_size"]) == ("grpo", "judge --all", 4)
    assert Path(chosen["reward_folder"]).is_dir()


def test_a_file_that_cannot_be_trained_on(penny: Penny, tmp_path: Path, model: str) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_bytes(examples() + b"{\n")
    done = penny.run("tune", str(bad), "--model", model)
    assert done.returncode == 1
    assert "penny: The job failed due to an invalid training file. Line 11: It is no JSON." in done.stderr


def test_without_what_trains(
    penny: Penny, tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = Trainer(command=STAND_IN.command, lacking=("torch",))
    monkeypatch.setattr(Trainer, "here", lambda: lacking)
    done = penny.run("tune", data(tmp_path), "--model", model)
    assert done.returncode == 1
    assert "pip install 'pennyweight[tune]'" in done.stderr


def test_stopped_by_ctrl_c_and_resumed(penny: Penny, tmp_path: Path, model: str) -> None:
    command = [sys.executable, IMPAIRED, "stand_in_trainer", "--", sys.executable, "-m", "pennyweight"]
    flags = ["tune", data(tmp_path, "slow"), "--model", model, "--epochs", "30"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, *flags], env=penny.environ(), **pipes) as process:  # type: ignore[call-overload]
        for line in process.stderr:
            if line.startswith("Step"):
                break
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    (job,) = json.loads(penny.run("tune", "list", "--json").stdout)
    assert f"penny tune resume {job['id']}" in told
    assert job["state"] == "paused"
    done = penny.run("tune", "resume", job["id"])
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ft:tiny:pennyweight::")
    steps = [line for line in done.stderr.splitlines() if line.startswith("Step 60/60")]
    assert len(steps) == 1


def test_beside_a_server_which_trains_it(penny: Penny, tmp_path: Path, model: str) -> None:
    service = Service(Path(model), tmp_path / "data" / "pennyweight")
    service.start(wrong=["stand_in_trainer"])
    try:
        done = penny.run("tune", data(tmp_path), "--model", model)
        assert done.returncode == 0, done.stderr
        assert service.client.models.retrieve(done.stdout.strip()).id == done.stdout.strip()
        refused = penny.run("tune", data(tmp_path), "--model", model, "--method", "grpo", "--reward", "true")
        assert "servers do not run the programs of rewards" in refused.stderr
        started = penny.run("tune", "stop", "ftjob-x")
        assert "Could not find fine tune: ftjob-x" in started.stderr
    finally:
        service.kill()
    assert {path.name for path in (tmp_path / "data" / "pennyweight").glob("incoming*")} == {"incoming"}
