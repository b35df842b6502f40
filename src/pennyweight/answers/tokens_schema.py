"""The bodies of `/tokenize` and `/detokenize`, in the form other open servers give them.

(https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html#tokenizer-api)
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pennyweight.answers.chat_messages import MESSAGES_SCHEMA, read_messages
from pennyweight.answers.field_tables import FieldTables, Neutral
from pennyweight.answers.fields import AnyObject, Compound, Field, Flag, Integer, ListOf, ParameterError, Text
from pennyweight.answers.tool_fields import TOOLS_SCHEMA, read_tools

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Conversation

_MODEL = Field(name="model", kind=Text(empty=False), doc="The name of the model; by default the one served.")

TOKENIZE_FIELDS = FieldTables(
    honoured=(
        _MODEL,
        Field(name="prompt", kind=Text(), doc="A text."),
        Field(
            name="messages",
            kind=Compound(MESSAGES_SCHEMA),
            doc="In place of `prompt`: a conversation, as the chat template writes it.",
        ),
        Field(
            name="tools",
            kind=Compound(TOOLS_SCHEMA),
            doc="With `messages`: tools as chat completions take them, all of which the answer may call.",
        ),
        Field(
            name="add_special_tokens",
            kind=Flag(),
            doc="With `prompt`: begin with the token that the model expects in front, if any; default true.",
        ),
        Field(
            name="parse_special",
            kind=Flag(),
            doc="With `prompt`: texts of control tokens are these tokens, by default; `false` reads them "
            "as plain text, as `POST /v1/completions` does.",
        ),
        Field(name="return_token_strs", kind=Flag(), doc="Return the text of every token too."),
        Field(
            name="chat_template_kwargs",
            kind=AnyObject(),
            doc="With `messages`: further variables of the model's chat template.",
        ),
    ),
    advisory=(),
    neutral=(
        Neutral(
            name="add_generation_prompt", values=(True,), reason="the template always opens the answer's turn"
        ),
        Neutral(name="continue_final_message", values=(False,), reason="an answer is a turn of its own"),
    ),
    required=(),
)
DETOKENIZE_FIELDS = FieldTables(
    honoured=(
        _MODEL,
        Field(
            name="tokens",
            kind=ListOf(item=Integer(low=0)),
            doc="Token ids of this model; control tokens are written as their text.",
        ),
    ),
    advisory=(),
    neutral=(),
    required=("tokens",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizeRequest:
    """Either a text or a conversation."""

    model: str | None
    asked: str | Conversation
    add_special_tokens: bool
    parse_special: bool
    return_token_strs: bool
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DetokenizeRequest:
    model: str | None
    tokens: tuple[int, ...]


def parse_tokenize(body: Mapping[str, object]) -> TokenizeRequest:
    """Raises ParameterError naming the field that is unknown, malformed or not supported."""
    values = TOKENIZE_FIELDS.read(body)
    if ("prompt" in values) == ("messages" in values):
        message = "Send either 'prompt' or 'messages'."
        raise ParameterError(message, param="prompt", code="invalid_parameter_combination")
    if "tools" in values and "messages" not in values:
        message = "'tools' are shown to the model beside 'messages'; a 'prompt' has none."
        raise ParameterError(message, param="tools", code="invalid_parameter_combination")
    ignored: set[str] = set()
    conversation = _conversation(values, ignored) if "messages" in values else None
    return TokenizeRequest(
        model=values.get("model"),
        asked=values["prompt"] if conversation is None else conversation,
        add_special_tokens=values.get("add_special_tokens", True),
        parse_special=values.get("parse_special", True),
        return_token_strs=values.get("return_token_strs", False),
        chat_template_kwargs=values.get("chat_template_kwargs", {}),
        ignored=tuple(sorted(ignored)),
    )


def _conversation(values: Mapping[str, Any], ignored: set[str]) -> Conversation:
    conversation = read_messages(values["messages"], ignored=ignored)
    if "tools" not in values:
        return conversation
    return replace(conversation, tools=read_tools(values["tools"], ignored=ignored).tools)


def parse_detokenize(body: Mapping[str, object]) -> DetokenizeRequest:
    """Raises ParameterError naming the field that is wrong."""
    values = DETOKENIZE_FIELDS.read(body)
    return DetokenizeRequest(model=values.get("model"), tokens=tuple(values["tokens"]))


def check_vocabulary(tokens: tuple[int, ...], vocab_size: int) -> None:
    """Raise ParameterError naming the first id that no token has."""
    for index, token in enumerate(tokens):
        if token >= vocab_size:
            message = f"'tokens[{index}]' is {token}; the model's vocabulary has {vocab_size} tokens."
            raise ParameterError(message, param=f"tokens[{index}]", code="integer_above_max_value")
