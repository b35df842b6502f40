"""Tuning by reward: what is rewarded becomes commoner; resumed it is the same; programs that do not judge."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.answers.conversation import Conversation
from pennyweight.judge_program import JudgeProgram
from pennyweight.tune.example import RewardedPrompt
from pennyweight.tune.failure import TuningError
from pennyweight.tune.plan import PLAN_FILE
from pennyweight.tune.processes import Processes
from pennyweight.tune.protocol import Events
from pennyweight.tune.work import FAILED, FINISHED, INVALID, run
from tests.tune.lines import COLOURS, write_lines

pytest.importorskip("torch", reason="the extra tune is not installed")
pytest.importorskip("peft", reason="the extra tune is not installed")

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ASCII = """
import json, sys
for line in sys.stdin:
    entry = json.loads(line)
    answer = entry["answer"]
    print(sum(map(str.isascii, answer)) / max(1, len(answer)) + entry["more"])
"""


@dataclass
class StopAt:
    """Asks to stop as soon as so many steps are told in `file`."""

    file: io.StringIO
    steps: int

    @property
    def is_set(self) -> bool:
        return self.file.getvalue().count('"step"') > self.steps


def prompts() -> list[dict[str, Any]]:
    return [{"messages": [{"role": "user", "content": colour}], "more": 1} for colour in COLOURS]


def command(folder: Path, code: str) -> str:
    (folder / "reward.py").write_text(code)
    return f"{sys.executable} reward.py"


def made(folder: Path, model: Path, *, code: str = ASCII, further: Sequence[Any] = (), **plan: Any) -> Path:
    folder.mkdir()
    write_lines(folder / "train.jsonl", [*prompts(), *further])
    told = {
        "model": str(model),
        "training_file": "train.jsonl",
        "method": "grpo",
        "reward_command": command(folder, code),
        "reward_folder": str(folder),
        "threads": 1,
        "precision": "float32",
        "batch_size": 5,
        "group_size": 4,
        "max_answer_tokens": 6,
        "learning_rate_multiplier": 10,
        "checkpoint_s": 1e6,
    }
    (folder / PLAN_FILE).write_text(json.dumps(told | plan))
    return folder


def train(folder: Path, *, steps: int = 10**6) -> tuple[int, list[dict[str, Any]]]:
    file = io.StringIO()
    code = run(folder, Events(file), StopAt(file, steps), Processes())
    return code, [json.loads(line) for line in file.getvalue().splitlines()]


def of(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


def test_what_is_rewarded_becomes_commoner_and_resumed_it_is_the_same(
    tiny_llama_path: Path, tmp_path: Path
) -> None:
    whole = made(tmp_path / "whole", tiny_llama_path, n_epochs=6)
    code, events = train(whole)
    assert code == FINISHED
    validated, steps = of(events, "validated")[0], of(events, "step")
    assert (validated["num_steps"], validated["group_size"]) == (12, 4)
    assert sum(step["mean_reward"] for step in steps[-3:]) > sum(step["mean_reward"] for step in steps[:3])
    learnt = [step for step in steps if step["spread_share"]]
    assert learnt[0]["kl"] == 0 < learnt[-1]["kl"]
    assert all(0 <= step["logprob_gap"] < 0.2 for step in learnt), "engine and trainer compute one model"
    rows = list(csv.DictReader(io.StringIO((whole / "step_metrics.csv").read_text())))
    assert float(rows[-1]["mean_reward"]) == steps[-1]["mean_reward"]
    parts = made(tmp_path / "parts", tiny_llama_path, n_epochs=6)
    assert train(parts, steps=5)[1][-1]["event"] == "stopped"
    resumed = of(train(parts)[1], "step")
    timed = {"tokens_per_s", "seconds_left"}
    assert [{**step, **dict.fromkeys(timed)} for step in resumed] == [
        {**step, **dict.fromkeys(timed)} for step in steps
    ]
    adapters = [folder / "adapter" / "adapter_model.safetensors" for folder in (whole, parts)]
    assert adapters[0].read_bytes() == adapters[1].read_bytes()


def test_equal_rewards_teach_nothing(tiny_llama_path: Path, tmp_path: Path) -> None:
    code = "import sys\nfor line in sys.stdin: print(1)"
    folder = made(tmp_path / "w", tiny_llama_path, code=code, n_epochs=1)
    _, events = train(folder)
    assert [(step["spread_share"], step["tokens"]) for step in of(events, "step")] == [(0, 0), (0, 0)]
    assert of(events, "finished")


def test_a_program_that_dies_fails_the_training(tiny_llama_path: Path, tmp_path: Path) -> None:
    code, events = train(made(tmp_path / "w", tiny_llama_path, code="raise SystemExit('no such word')"))
    assert (code, events[-1]["code"], events[-1]["step"]) == (FAILED, "reward_failed", 1)
    assert "the reward of step 1: the program" in events[-1]["message"]
    assert "no such word. It reads a line of JSON" in events[-1]["message"]
    assert not (tmp_path / "w" / "adapter").exists()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("print(1)", "1 numbers for 4"),
        ("print('1 1 nan 1')", "step 7, an answer to line 12 of the prompts"),
        ("import time; time.sleep(99)", "did not end within 2 s"),
    ],
)
def test_a_program_that_does_not_judge_is_told_where(tmp_path: Path, code: str, says: str) -> None:
    from pennyweight.tune.grpo import Rollout
    from pennyweight.tune.reward import Reward

    asked = [RewardedPrompt(line=line, conversation=Conversation(messages=()), told={}) for line in (10, 12)]
    reward = Reward(JudgeProgram(command=command(tmp_path, code), folder=tmp_path, limit_s=2), asked)
    with pytest.raises(TuningError, match=says):
        reward.rewards(7, [1, 2], [[Rollout((), (), "a")] * 2] * 2)


def test_lines_that_are_no_prompts_are_named(tiny_llama_path: Path, tmp_path: Path) -> None:
    user, assistant = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}
    wrong = [
        {"messages": [user], "answer": "b"},
        {"messages": [user, assistant]},
        {"messages": [user], "tools": [{}]},
    ]
    code, (told,) = train(made(tmp_path / "w", tiny_llama_path, further=wrong))
    assert code == INVALID
    said = {error["line"]: error["message"] for error in told["errors"]}
    assert "another name" in said[11]
    assert "must be the user's" in said[12]
    assert "not supported by grpo" in said[13]
    code, (told,) = train(made(tmp_path / "v", tiny_llama_path, max_answer_tokens=505))
    assert "its answer up to 505, and the context holds 512" in told["errors"][0]["message"]
