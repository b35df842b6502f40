"""What a response stands on: the items before its input, and those its references name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import ParameterError, Text, missing
from pennyweight.answers.passages import READS_STORES, searches_files
from pennyweight.errors import ConflictError, NotFoundError
from pennyweight.history.wire_items import REFERENCE, wires
from pennyweight.store.chains import Chains
from pennyweight.store.conversations import Conversations
from pennyweight.store.generation import State
from pennyweight.store.items import Items
from pennyweight.store.thread_messages import ITEM_TYPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pennyweight.answers.responses_state import AskedState
    from pennyweight.store.chains import Chain
    from pennyweight.store.items import Item

_ANSWERED = (State.COMPLETED, State.INCOMPLETE)


class ConversationChangedError(ConflictError):
    """Another answer, or somebody, was faster."""

    code = "conversation_changed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """`past` are the items that come first, as they are on the wire.

    `body` is the request's with every reference replaced by its item; `referenced` are the ids of these items
    by their places in the input, but for those that stand before already: of them there are copies, so that
    an id stands once in a listing. `past_ids` tell whether what comes first has changed since.
    """

    past: Sequence[Mapping[str, Any]]
    past_ids: Sequence[str] = ()
    body: Mapping[str, object]
    referenced: Mapping[int, str]


def stand(connection: Connection, project_id: str, state: AskedState, body: Mapping[str, object]) -> Standing:
    """Look up what `body` continues and names. Raises ParameterError, NotFoundError."""
    earlier: Sequence[Item] = ()
    if state.previous_response_id is not None:
        require_link(connection, project_id, state.previous_response_id)
        earlier = Chains().items(connection, project_id, state.previous_response_id)
    elif state.conversation_id is not None:
        require_conversation(state.conversation_id)
        earlier = Conversations().items(connection, project_id, state.conversation_id)
    past = wires(earlier)  # here, on a reader's thread: a history may be long
    past_ids = tuple(item.id for item in earlier)
    named = _references(body.get("input"))
    if not named:
        return Standing(past=past, past_ids=past_ids, body=body, referenced={})
    found = Items().find(connection, project_id, set(named.values()))
    given: Any = body["input"]
    resolved = list(given)
    for index, item_id in named.items():
        if item_id not in found or found[item_id].type == ITEM_TYPE:  # messages of threads are no items here
            message = f"Item with id '{item_id:.80}' not found."
            raise NotFoundError(message, param=f"input[{index}].id")
        resolved[index] = json.loads(found[item_id].wire)
    body = {**body, "input": resolved}
    referenced = _first_named(named, past_ids)
    return Standing(past=past, past_ids=past_ids, body=body, referenced=referenced)


def require_link(connection: Connection, project_id: str, response_id: str) -> None:
    """Raise ParameterError unless a further response can continue this one, with all that came before."""
    try:
        chain = Chains().get(connection, project_id, response_id)
    except NotFoundError:
        raise _missing(response_id) from None
    if chain.last.kind != "response":
        raise _missing(response_id)
    if chain.last.state not in _ANSWERED:
        message = (
            f"The response '{response_id}' is {chain.last.state}; only what was answered can be continued."
        )
        raise ParameterError(message, param="previous_response_id", code="previous_response_not_completed")
    _require_whole(chain)


def require_conversation(conversation_id: str) -> None:
    """Raise NotFoundError for what cannot be a conversation: threads are kept beside them."""
    if not conversation_id.startswith("conv_") or "\0" in conversation_id:
        raise NotFoundError(f"No conversation has the id '{conversation_id:.80}'.", param="conversation")


def require_unchanged(connection: Connection, conversation_id: str, standing: Standing) -> None:
    """Raise ConversationChangedError if items came or went meanwhile: the answer is to others."""
    if tuple(Conversations().item_ids(connection, conversation_id)) != tuple(standing.past_ids):
        raise ConversationChangedError(
            f"The conversation '{conversation_id}' was changed while this was answered; try again."
        )


def _first_named(named: Mapping[int, str], before: Sequence[str]) -> dict[int, str]:
    """Those of `named` that stand neither before the input nor earlier in it."""
    stood, first = set(before), {}
    for index, item_id in named.items():
        if item_id not in stood:
            stood.add(item_id)
            first[index] = item_id
    return first


def _require_whole(chain: Chain) -> None:
    request = json.loads(chain.root.request)
    if (before := request.get("previous_response_id")) is not None:
        message = (
            f"Previous response with id '{before}', which '{chain.root.id}' continues, was deleted: what came"
            " before it is not known any more. Send the whole input instead."
        )
        raise ParameterError(message, param="previous_response_id", code="previous_response_not_found")
    if request.get("conversation") is not None:
        message = (
            f"The response '{chain.root.id}' was given in a conversation; continue it with 'conversation'."
        )
        raise ParameterError(message, param="previous_response_id", code="invalid_value")


def _missing(response_id: str) -> ParameterError:
    message = f"Previous response with id '{response_id:.80}' not found."
    return ParameterError(message, param="previous_response_id", code="previous_response_not_found")


def reading_scopes(body: Mapping[str, object]) -> list[str]:
    """What a key needs to have `body` answered, beside the right to ask models.

    One scope for each kind of thing that is read: a model can be told to repeat what it was given.
    """
    scopes = ["api.conversations.write"] if body.get("conversation") is not None else []
    refers = bool(_references(body.get("input")))
    if refers or body.get("previous_response_id") is not None:
        scopes.append("api.responses.read")
    if refers:  # an item may stand in a conversation
        scopes.append("api.conversations.read")
    return [*scopes, READS_STORES] if searches_files(body) else scopes


def _references(value: object) -> dict[int, str]:
    """The ids that an input names, by their places. An item with nothing but an id is a reference too."""
    if not isinstance(value, list | tuple):
        return {}
    named = {}
    for index, item in enumerate(value):
        if not isinstance(item, dict):
            continue
        kind, own_id = item.get("type"), item.get("id")
        if kind == REFERENCE or (kind is None and own_id is not None and not item.keys() - {"id", "type"}):
            if own_id is None:
                raise missing(f"input[{index}].id")
            named[index] = Text(empty=False).read(own_id, f"input[{index}].id")
    return named
