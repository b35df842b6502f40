"""One answered response becomes rows, all of them in one transaction."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pennyweight.history.standing import require_link, require_unchanged
from pennyweight.history.wire_items import kept_input, output_items, wire_text
from pennyweight.store.conversations import Conversations
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.items import Items

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pennyweight.answers.principal import Principal
    from pennyweight.answers.responses_state import AskedState
    from pennyweight.history.standing import Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """A response that has its answer: `body` as it was sent, `result` the JSON text as it is told."""

    body: Mapping[str, object]
    standing: Standing
    state: AskedState
    model: str
    metadata: Mapping[str, str]
    result: str


def keep_response(connection: Connection, principal: Principal, answer: KeptAnswer, *, now: int) -> None:
    """Store it, and append it to its conversation.

    Raises ParameterError, NotFoundError, ConversationChangedError if what it continues was deleted or
    changed meanwhile.
    """
    project, state = principal.project, answer.state
    result = json.loads(answer.result)
    given = kept_input(answer.standing.body["input"], answer.standing.referenced, now=now)
    made = output_items(result["output"], now=now)
    items = Items()
    items.require(connection, project, answer.standing.referenced.values())
    items.add(connection, project, [*given.new, *made])
    output_ids = [item.id for item in made]
    if state.store:
        if state.previous_response_id is not None:
            require_link(connection, project, state.previous_response_id)
        new = NewGeneration(
            id=result["id"],
            kind="response",
            model=answer.model,
            request=wire_text(answer.body),
            parent_id=state.previous_response_id,
            conversation_id=state.conversation_id,
            metadata=answer.metadata,
            key_id=principal.key,
            result=answer.result,
        )
        Generations().keep(connection, project, new, state=State(result["status"]), now=now)
        items.give(connection, new.id, "input", given.ids)
        items.give(connection, new.id, "output", output_ids)
    if state.conversation_id is not None:
        require_unchanged(connection, state.conversation_id, answer.standing)
        placed = [*given.ids, *output_ids]
        Conversations().append_stored(connection, project, state.conversation_id, placed)
