"""What a Responses body says of the past and of being kept.

Whoever keeps answers reads this first, looks up what the body continues and hands it to the exchange as a
`Past`. Without one nothing is kept, and a body that needs more than itself is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import Field, Flag, ParameterError, Text, unknown, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CONVERSATION_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}},
    ]
}


@dataclass(frozen=True, slots=True)
class ConversationId:
    """The id of a conversation, or an object with it; its value here is the id."""

    @property
    def schema(self) -> dict[str, Any]:
        return _CONVERSATION_SCHEMA

    def read(self, value: object, param: str) -> str:
        if isinstance(value, str):
            return Text(empty=False).read(value, param)
        if not isinstance(value, dict):
            raise wrong_type(param, "a string or an object", value)
        for key in value:
            if key != "id":
                raise unknown(f"{param}.{key}", ("id",))
        return Text(empty=False).read(value.get("id"), f"{param}.id")


PAST_FIELDS = (
    Field(
        name="previous_response_id",
        kind=Text(empty=False),
        doc="Continues a stored response: its input and output, and those of all before it, come first. "
        "`instructions` are not taken over.",
    ),
    Field(
        name="conversation",
        kind=ConversationId(),
        doc="Continues a conversation (its id, or an object with it): its items come first, and input and "
        "output are appended to it. Not together with `previous_response_id`.",
    ),
)
STATE_FIELDS = (
    Field(
        name="store",
        kind=Flag(),
        doc="Keep the response, durably before its end is sent; true unless told otherwise. Lines of batches "
        "are never kept.",
    ),
    *PAST_FIELDS,
    Field(
        name="background",
        kind=Flag(),
        doc="Answer later: `queued` at once, to be retrieved, cancelled and, with `stream`, followed from "
        "any event on. What nobody has seen anything of is answered again after a crash.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedState:
    """What is to be kept, and what is continued."""

    store: bool = True
    background: bool = False
    previous_response_id: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What whoever keeps answers knows of one: `items` come before its input, as they were on the wire.

    `identity` are the id and the creation (seconds since 1970) of a response that was told before it is
    answered.
    """

    items: Sequence[Mapping[str, object]] = field(default=())
    identity: tuple[str, int] | None = None


def asked_state(body: Mapping[str, object]) -> AskedState:
    """From a body of which nothing else is known yet. Raises ParameterError."""
    given = {field.name: field for field in STATE_FIELDS if body.get(field.name) is not None}
    return read_state({name: field.kind.read(body[name], name) for name, field in given.items()})


def read_state(values: Mapping[str, Any]) -> AskedState:
    """From fields already checked one by one. Raises ParameterError for two that do not go together."""
    state = AskedState(
        store=values.get("store", True),
        background=values.get("background", False),
        previous_response_id=values.get("previous_response_id"),
        conversation_id=values.get("conversation"),
    )
    if state.previous_response_id is not None and state.conversation_id is not None:
        message = "'previous_response_id' and 'conversation' both say what comes first; send one of them."
        raise ParameterError(message, param="previous_response_id", code="mutually_exclusive_parameters")
    if state.background and not state.store:
        message = "'background' needs 'store': what is not kept cannot be retrieved later."
        raise ParameterError(message, param="background", code="invalid_parameter_combination")
    return state


def require_statelessness(state: AskedState) -> None:
    """Raise ParameterError if answering needs what nobody looked up."""
    for param, value in (
        ("previous_response_id", state.previous_response_id),
        ("conversation", state.conversation_id),
        ("background", state.background or None),
    ):
        if value is not None:
            message = f"'{param}' has no meaning in a batch, whose lines stand alone; leave it out."
            raise ParameterError(message, param=param, code="unsupported_parameter")
