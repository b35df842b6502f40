"""`file_search` of a run: one search with the newest question, before the run's first answer.

What is found is a step of the run; from there it is read for every answer of the run.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final

from pennyweight.answers.conversation import Conversation, Message, TextPart
from pennyweight.answers.passages import FileSearch, Passage
from pennyweight.history.assistants.tools import FILE_SEARCH
from pennyweight.store.identifiers import new_id
from pennyweight.store.run_steps import RunStep
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pennyweight.answers.passages import PassageSource, PromptWindow
    from pennyweight.answers.principal import Principal
    from pennyweight.store.database import Database

_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.2


async def until_read(database: Database, project_id: str, store_ids: Sequence[str]) -> None:
    """Wait until the files just put into the stores are read, but no longer than a minute, as OpenAI does."""
    stores, deadline = VectorStores(), time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        found = await database.read(lambda c: [stores.get(c, project_id, own_id) for own_id in store_ids])
        if not any(store.counts.in_progress for store in found):
            return
        await asyncio.sleep(_LOOK_S)


def search_tool(tools: Iterable[Mapping[str, Any]], store_ids: Sequence[str]) -> dict[str, Any] | None:
    """The run's `file_search`, laid out as responses have it; None: there is none, or nothing to search."""
    for tool in tools:
        if tool["type"] == FILE_SEARCH and store_ids:
            given = {
                name: value for name, value in (tool.get(FILE_SEARCH) or {}).items() if value is not None
            }
            return {"type": FILE_SEARCH, "vector_store_ids": list(store_ids), **given}
    return None


async def find(
    source: PassageSource, principal: Principal, tool: Mapping[str, Any], question: str, window: PromptWindow
) -> Sequence[Passage]:
    """As much as the window has room for. Raises as `PassageSource.passages`."""
    search = FileSearch(source=source, tool=tool, with_results=False)
    asked = Conversation(messages=(Message(role="user", parts=(TextPart(question),)),))
    found = await search.found(principal, asked, window)
    return () if found is None else found.passages


def search_step(run_id: str, found: Sequence[Passage], tool: Mapping[str, Any], *, began: int) -> RunStep:
    """What was found, as a step that is done."""
    threshold = (tool.get("ranking_options") or {}).get("score_threshold", 0.0)
    results = [
        {
            "file_id": passage.file_id,
            "file_name": passage.filename,
            "score": passage.score,
            "content": [{"type": "text", "text": passage.text}],
        }
        for passage in found
    ]
    ranking = {"ranker": "default_2024_08_21", "score_threshold": threshold}
    search = {"ranking_options": ranking, "results": results}
    call = {"id": new_id("call_"), "type": FILE_SEARCH, FILE_SEARCH: search}
    return RunStep(
        id=new_id("step_"),
        run_id=run_id,
        state="completed",
        details={"type": "tool_calls", "tool_calls": [call]},
        usage={"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
        created_at=began,
        ended_at=int(time.time()),
    )


def passages_of(steps: Iterable[RunStep]) -> list[Passage]:
    """What the searches among `steps` have found, in order."""
    calls = [call for step in steps for call in step.details.get("tool_calls", ())]
    searches = [call[FILE_SEARCH] for call in calls if call["type"] == FILE_SEARCH]
    return [
        Passage(
            file_id=result["file_id"],
            filename=result["file_name"],
            text=result["content"][0]["text"],
            score=result["score"],
            attributes={},
        )
        for search in searches
        for result in search["results"]
    ]
