"""Stored chat completions as a teacher's answers: what was answered with `store` and labelled by metadata.

(https://platform.openai.com/docs/guides/distillation.)
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pennyweight.distillation.asking import answered
from pennyweight.distillation.prompts import Prompt
from pennyweight.store.generation import GenerationFilter
from pennyweight.store.generations import Generations
from pennyweight.store.pages import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pennyweight.distillation.asking import Answers
    from pennyweight.store.database import Database
    from pennyweight.store.generation import Generation

_PAGE: Final = 100


def stored_answers(
    database: Database, project: str, *, model: str | None, metadata: Mapping[str, str]
) -> tuple[list[Prompt], Answers]:
    """The prompts of the project's stored chats with these entries, each once, and all that answered them.

    Chats with tools are left out: a lesson is a text.
    """
    completions: dict[str, list[dict[str, Any]]] = {}
    prompts: dict[str, Prompt] = {}
    for generation in _stored(database, project, model=model, metadata=metadata):
        request, result = json.loads(generation.request), json.loads(generation.result or "{}")
        if request.get("tools") or "choices" not in result:
            continue
        prompt = Prompt(tuple(request["messages"]))
        prompts.setdefault(prompt.key, prompt)
        completions.setdefault(prompt.key, []).append(result)
    return list(prompts.values()), {key: answered(found) for key, found in completions.items()}


def _stored(
    database: Database, project: str, *, model: str | None, metadata: Mapping[str, str]
) -> Iterator[Generation]:
    """Page by page, the oldest first."""
    wanted = GenerationFilter(kind="chat_completion", model=model, metadata=metadata)
    generations, after = Generations(), None
    while True:
        cursor = Cursor(after=after, limit=_PAGE)
        page = database.read_now(partial(generations.page, project_id=project, wanted=wanted, cursor=cursor))
        yield from page.items
        if not page.has_more:
            return
        after = page.items[-1].id
