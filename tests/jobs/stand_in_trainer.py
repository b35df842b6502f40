"""A trainer that learns nothing, and says what a real one says: `python stand_in_trainer.py WORK_FOLDER`.

For tests of what is around training. The text of the first example says how it goes: "slow" steps wait for a
moment, "nan" fails at a step, "dies" is killed at its second step, once; all else ends well. Each epoch is
two steps.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

STEPS_AN_EPOCH = 2
TOKENS_A_STEP = 10


def say(event: str, **fields: Any) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def checked(path: Path) -> list[dict[str, Any]]:
    """The examples; ends the process if one is bad."""
    errors, examples = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            examples.append(json.loads(line))
        except ValueError:
            errors.append(
                {"code": "invalid_json", "message": "It is no JSON.", "param": None, "line": number}
            )
    if not errors and len(examples) < 10:
        message = f"There are {len(examples)} examples; at least 10 are needed."
        errors.append({"code": "too_few_examples", "message": message, "param": None, "line": None})
    if errors:
        say("invalid", errors=errors, num_errors=len(errors))
        sys.exit(2)
    return examples


def save(folder: Path, step: int, *, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"r": 1, "peft_type": "LORA"}))
    (folder / "adapter_model.safetensors").write_bytes(f"what was learnt up to {step} with {seed}".encode())
    (folder / "README.md").write_text("A card.\n")


class Stop:
    """SIGTERM, or the end of whoever started this."""

    def __init__(self) -> None:
        self._told = False
        signal.signal(signal.SIGTERM, self._tell)

    def _tell(self, *_: object) -> None:
        self._told = True

    def wait(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while True:
            readable, _, _ = select.select([sys.stdin], [], [], 0.01 if seconds else 0)
            if self._told or (readable and not os.read(0, 1)):
                return True
            if time.monotonic() >= deadline:
                return False


def tell_again(work: Path, done: int) -> None:
    """What whoever listened may have missed before it was killed."""
    told = work / "told.jsonl"
    for line in told.read_text().splitlines() if told.exists() else ():
        event = json.loads(line)
        if event["step"] <= done:
            print(line, flush=True)


def say_and_keep(work: Path, event: str, **fields: Any) -> None:
    with (work / "told.jsonl").open("a") as file:
        file.write(json.dumps({"event": event, **fields}) + "\n")
    say(event, **fields)


def train(work: Path, plan: dict[str, Any], mood: str, num_steps: int, stop: Stop) -> None:
    state = work / "step"
    done = int(state.read_text()) if state.exists() else 0
    tell_again(work, done)
    for step in range(done + 1, num_steps + 1):
        if mood == "dies" and step == 2 and not (work / "died").exists():
            (work / "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if mood == "nan" and step == 2:
            say("failed", code="nan_loss", message="The loss is not a number at step 2.", step=2)
            sys.exit(1)
        if stop.wait(0.05 if mood == "slow" else 0.0):
            say("stopped", step=step - 1)
            sys.exit(0)
        further = {"valid_loss": 2 / step} if plan["validation_file"] else {}
        speed = {"tokens": TOKENS_A_STEP * step, "tokens_per_s": 1000.0, "seconds_left": 1}
        say_and_keep(work, "step", step=step, train_loss=1 / step, **speed, **further)
        if step % STEPS_AN_EPOCH == 0:
            save(work / f"checkpoint-{step}", step, seed=plan["seed"])
            state.write_text(str(step))
            metrics = {"train_loss": 1 / step, "train_mean_token_accuracy": 0.5, **further}
            say_and_keep(
                work, "checkpoint", step=step, folder=f"checkpoint-{step}", epoch_end=True, metrics=metrics
            )


def main() -> None:
    work = Path(sys.argv[1])
    plan = json.loads((work / "plan.json").read_text())
    stop = Stop()
    examples = checked(Path(plan["training_file"]))
    mood = str(examples[0]["messages"][0]["content"])
    num_epochs = 2 if plan["n_epochs"] == "auto" else plan["n_epochs"]
    num_steps = STEPS_AN_EPOCH * num_epochs
    tokens = TOKENS_A_STEP * num_steps
    say(
        "validated",
        num_examples=len(examples),
        num_validation_examples=0,
        num_tokens=tokens // num_epochs,
        n_epochs=num_epochs,
        batch_size=4,
        learning_rate_multiplier=1.5,
        num_steps=num_steps,
        planned_tokens=tokens,
        warnings=["2 examples are there twice"],
    )
    train(work, plan, mood, num_steps, stop)
    save(work / "adapter", num_steps, seed=plan["seed"])
    (work / "step_metrics.csv").write_text("step,train_loss\n1,1.0\n")
    say(
        "finished",
        folder="adapter",
        metrics_file="step_metrics.csv",
        trained_tokens=tokens,
        seconds=1,
        cpu_s=1,
    )


if __name__ == "__main__":
    main()
