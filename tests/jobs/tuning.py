"""Jobs of fine-tuning for tests: their data, and a trainer that only says what a real one would."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

from pennyweight.jobs.trainer_process import Trainer

STAND_IN: Final = Trainer(command=(sys.executable, str(Path(__file__).with_name("stand_in_trainer.py"))))
ENDED: Final = ("succeeded", "failed", "cancelled")


def examples(mood: str = "well", *, count: int = 10) -> bytes:
    """A file of chats; `mood` is for the stand-in."""
    line = {"messages": [{"role": "user", "content": mood}, {"role": "assistant", "content": "Hello"}]}
    return b"".join(json.dumps(line).encode() + b"\n" for _ in range(count))
