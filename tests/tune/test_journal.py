"""What was told is told again by whoever goes on, up to where it goes on."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from pennyweight.tune.journal import Journal
from pennyweight.tune.protocol import Events

if TYPE_CHECKING:
    from pathlib import Path


def told_again(folder: Path, *, up_to: int) -> list[tuple[str, int]]:
    heard = io.StringIO()
    Journal(folder, Events(heard), keeps=True).tell_again(up_to=up_to)
    events = [json.loads(line) for line in heard.getvalue().splitlines()]
    return [(event["event"], event["step"]) for event in events]


def test_steps_and_checkpoints_that_are_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path, Events(io.StringIO()), keeps=True)
    (tmp_path / "kept").mkdir()
    for step, folder in ((1, "gone"), (2, "kept")):
        journal.tell("step", step=step, train_loss=0.5)
        journal.tell("checkpoint", step=step, folder=folder, epoch_end=True, metrics={})
    journal.tell("step", step=3, train_loss=0.5)
    with (tmp_path / "told.jsonl").open("a") as file:
        file.write('{"event": "st')  # a process that was killed
    assert told_again(tmp_path, up_to=2) == [("step", 1), ("step", 2), ("checkpoint", 2)]
    assert told_again(tmp_path, up_to=9) == [("step", 1), ("step", 2), ("checkpoint", 2)], "3 is done again"


def test_nothing_was_told(tmp_path: Path) -> None:
    assert told_again(tmp_path, up_to=9) == []
    silent = Journal(tmp_path, Events(None), keeps=False)
    silent.tell("step", step=1)
    assert not (tmp_path / "told.jsonl").exists()
