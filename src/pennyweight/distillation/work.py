"""A distillation on disk: what was asked and answered stays in a folder, and is not done twice.

`plan.json` says what the folder is for; another distillation in the same folder is refused. Requests and
answers are files in OpenAI's batch format, lessons a training file: each can be read, and used elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.exchange import compact_json
from pennyweight.distillation.asking import read_answers, write_requests
from pennyweight.distillation.lessons import lesson
from pennyweight.errors import ConfigError
from pennyweight.jobs.offline import OfflineBatch, OfflineFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.answers.principal import Principal
    from pennyweight.distillation.asking import Answers, Asking
    from pennyweight.distillation.comparison import Row
    from pennyweight.distillation.prompts import Prompt

FEWEST_LESSONS: Final = 10
"""What a job of fine-tuning takes at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What makes one distillation another."""

    teacher: str | None
    student: str
    prompts: str
    held_out: float
    samples: int
    temperature: float
    max_tokens: int | None
    seed: int
    schema: Mapping[str, Any] | None
    check: str | None


class Work:
    """One distillation's folder."""

    def __init__(self, folder: Path, plan: Plan) -> None:
        """ConfigError if the folder cannot be made, or is another distillation's."""
        self._folder = folder
        path = folder / "plan.json"
        wanted = json.loads(compact_json(asdict(plan)))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.write_bytes(compact_json(wanted))
            found = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            raise ConfigError(f"{folder} cannot be used as a work folder: {error}") from error
        if changed := sorted(name for name in wanted if found.get(name) != wanted[name]):
            message = f"{folder} holds a distillation with another {changed[0]}"
            raise ConfigError(f"{message}; name another folder with --work, or remove this one")

    def ask(
        self,
        name: str,
        prompts: Sequence[Prompt],
        asking: Asking,
        *,
        endpoints: Callable[[], Endpoints],
        principal: Principal,
        progress: Callable[[int], None] = lambda _: None,
    ) -> Answers:
        """The answers called `name`. `endpoints` is called if there are not all of them yet.

        ConfigError if the files there are not what was asked; what `endpoints` raises.
        """
        requests, answers = self._folder / f"{name}.requests.jsonl", self._folder / f"{name}.answers.jsonl"
        if not requests.exists():
            write_requests(requests, prompts, asking)
        batch = OfflineBatch(OfflineFiles(input=requests, output=answers))
        if not batch.is_complete:
            batch.run(endpoints(), principal, progress=progress)
        return read_answers(answers)

    def write_lessons(self, prompts: Sequence[Prompt], best: Mapping[str, str]) -> Path:
        """The training file. ConfigError if there are fewer lessons than a job takes."""
        lessons = [lesson(prompt, best[prompt.key]) for prompt in prompts if prompt.key in best]
        if len(lessons) < FEWEST_LESSONS:
            raise ConfigError(
                f"the teacher gave {len(lessons)} answers to learn from, and {FEWEST_LESSONS} are needed; "
                "give more prompts, or ask for more --samples"
            )
        path = self._folder / "lessons.jsonl"
        path.write_bytes(b"".join(compact_json(line) + b"\n" for line in lessons))
        return path

    def keep_table(self, rows: Sequence[Row]) -> None:
        """`table.json`: what is known of before and after."""
        path = self._folder / "table.json"
        path.write_text(json.dumps([row.told() for row in rows], indent=1) + "\n", encoding="utf-8")


def digest(path: Path) -> str:
    """Of a file, which a plan names by it. ConfigError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
