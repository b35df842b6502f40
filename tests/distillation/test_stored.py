"""Stored chat completions as a teacher's answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pennyweight.distillation.stored import stored_answers
from pennyweight.store.database import Database
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_700_000_000


def keep(database: Database, number: int, text: str, *, task: str = "sum", **request: Any) -> None:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    asked = {"model": "m", "messages": [{"role": "user", "content": f"Sum {number}"}], **request}
    new = NewGeneration(
        id=f"chatcmpl-{number}-{text}",
        kind="chat_completion",
        model="m",
        request=json.dumps(asked),
        metadata={"task": task},
        result=json.dumps({"choices": [choice], "usage": {"completion_tokens": 3}}),
    )
    generations = Generations()
    database.write_now(lambda c: generations.keep(c, "default", new, state=State.COMPLETED, now=NOW + number))


def test_chats_of_the_metadata_by_their_prompts(tmp_path: Path) -> None:
    with Database.open(f"sqlite:///{tmp_path / 'pennyweight.db'}") as database:
        for number in range(130):  # more than a page
            keep(database, number, "one")
        keep(database, 5, "two")
        keep(database, 200, "other", task="poem")
        keep(database, 201, "called", tools=[{"type": "function", "function": {"name": "f"}}])
        prompts, answers = stored_answers(database, "default", model="m", metadata={"task": "sum"})
        assert stored_answers(database, "default", model="x", metadata={"task": "sum"}) == ([], {})
    assert len(prompts) == len(answers) == 130
    (fifth,) = [prompt for prompt in prompts if prompt.messages[0]["content"] == "Sum 5"]
    assert [sample.text for sample in answers[fifth.key].samples] == ["one", "two"]
    assert answers[fifth.key].tokens == 6
