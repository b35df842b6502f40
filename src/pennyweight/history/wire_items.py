"""Items of Responses as they are kept: the client's own JSON with an id, in the form answers have.

What OpenAI's types require and a client may leave out is filled in: a text becomes one part, a role alone a
message (https://platform.openai.com/docs/api-reference/responses/list-input-items).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.store.identifiers import new_id
from pennyweight.store.items import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

REFERENCE: Final = "item_reference"
_PREFIXES: Final = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
}

_NOT_KEPT: Final = ("reasoning", "file_search_call")


@dataclass(frozen=True, slots=True)
class KeptInput:
    """`new` are items to be stored, `ids` those of the whole input in order, referenced ones among them."""

    new: list[Item]
    ids: list[str]


def kept_input(value: object, referenced: Mapping[int, str], *, now: int) -> KeptInput:
    """An `input` that an exchange has understood. Each new item gets a new id; reasoning and searches that a
    client sends are not kept.

    `referenced` are ids of stored items that are to stand here themselves, by their places.
    """
    if isinstance(value, str):
        value = [{"role": "user", "content": value}]
    assert isinstance(value, list | tuple)
    kept = KeptInput([], [])
    for index, wire in enumerate(value):
        if index in referenced:
            kept.ids.append(referenced[index])
        elif wire.get("type") not in _NOT_KEPT:
            item = _item(_completed(wire), now)
            kept.new.append(item)
            kept.ids.append(item.id)
    return kept


def output_items(output: Iterable[Mapping[str, Any]], *, now: int) -> list[Item]:
    """The items of an answer, which have their ids."""
    return [Item(id=item["id"], type=item["type"], wire=wire_text(item), created_at=now) for item in output]


def wires(items: Sequence[Item]) -> tuple[dict[str, Any], ...]:
    """Items as they are on the wire."""
    return tuple(json.loads(item.wire) for item in items)


def wire_text(value: object) -> str:
    """JSON in ASCII: what databases refuse in texts (NUL, halves of surrogate pairs) is escaped."""
    return json.dumps(value, separators=(",", ":"))


def _item(wire: Mapping[str, Any], now: int) -> Item:
    kind: str = wire["type"]
    own_id = new_id(_PREFIXES[kind])
    return Item(id=own_id, type=kind, wire=wire_text({**wire, "id": own_id}), created_at=now)


def _completed(item: Mapping[str, Any]) -> dict[str, Any]:
    given = {key: value for key, value in item.items() if value is not None}
    wire = {"id": "", "type": "message", "status": "completed", **given}
    if wire["type"] == "message":
        own = wire["role"] == "assistant"
        content = wire["content"]
        parts = [{"type": "output_text" if own else "input_text", "text": content}]
        wire["content"] = [_part(part) for part in (parts if isinstance(content, str) else content)]
    return wire


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"annotations": [], "logprobs": [], **part} if part["type"] == "output_text" else dict(part)
