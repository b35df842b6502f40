"""The body of `POST /v1/embeddings` becomes an `EmbeddingRequest`: fields are honoured or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from pennyweight.answers.field_tables import FieldTables
from pennyweight.answers.fields import Field, Integer, ListOf, ParameterError, Text, wrong_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_INPUTS: Final = 2048
"""Texts of one request, as OpenAI has it."""

Input = str | tuple[int, ...]
"""A text, or the token ids of one."""

_TOKENS: Final = ListOf(item=Integer(low=0), low=1)


@dataclass(frozen=True, slots=True)
class Inputs:
    """A text, a list of texts, a list of token ids, or a list of such lists; none of them empty."""

    def read(self, value: object, param: str) -> tuple[Input, ...]:
        if isinstance(value, str):
            return (Text(empty=False).read(value, param),)
        if not isinstance(value, list | tuple):
            raise wrong_type(param, "a string or an array", value)
        if not value:
            raise ParameterError(f"'{param}' is empty.", param=param, code="empty_array")
        if type(value[0]) is int:
            return (_TOKENS.read(value, param),)
        if len(value) > MAX_INPUTS:
            message = (
                f"'{param}' has {len(value)} elements; it may have up to {MAX_INPUTS}. Send several requests."
            )
            raise ParameterError(message, param=param, code="array_above_max_length")
        return tuple(self._one(item, f"{param}[{index}]") for index, item in enumerate(value))

    def _one(self, item: object, param: str) -> Input:
        if isinstance(item, str):
            return Text(empty=False).read(item, param)
        if not isinstance(item, list | tuple):
            raise wrong_type(param, "a string or an array of token ids", item)
        tokens: tuple[int, ...] = _TOKENS.read(item, param)
        return tokens

    @property
    def schema(self) -> dict[str, Any]:
        text = {"type": "string", "minLength": 1}
        several = [
            {"type": "array", "items": item, "minItems": 1, "maxItems": MAX_INPUTS}
            for item in (text, _TOKENS.schema)
        ]
        return {"anyOf": [text, _TOKENS.schema, *several]}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How numbers travel: `float` in JSON, `base64` of little-endian float32."""

    def read(self, value: object, param: str) -> str:
        if value not in ("float", "base64"):
            message = f"Invalid value for '{param}': expected 'float' or 'base64'."
            raise ParameterError(message, param=param, code="invalid_value")
        return str(value)

    @property
    def schema(self) -> dict[str, Any]:
        return {"enum": ["float", "base64"]}


EMBEDDING_FIELDS: Final = FieldTables(
    honoured=(
        Field(name="model", kind=Text(empty=False), doc="The encoder's name, as `GET /v1/models` lists it."),
        Field(name="input", kind=Inputs(), doc="What to turn into vectors, one each, in this order."),
        Field(name="encoding_format", kind=Encoding(), doc="JSON numbers by default, or base64 of float32."),
        Field(
            name="dimensions",
            kind=Integer(low=1),
            doc="Keep so many numbers of each vector, scaled to length 1 again; at most the model's.",
        ),
    ),
    advisory=(Field(name="user", kind=Text(), doc="Accepted; asks nothing of the answer.", advisory=True),),
    neutral=(),
    required=("model", "input"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingRequest:
    """`dimensions` None: all of the model's."""

    model: str
    inputs: tuple[Input, ...]
    encoding_format: Literal["float", "base64"]
    dimensions: int | None


def parse_embedding(body: Mapping[str, object]) -> EmbeddingRequest:
    """Raises ParameterError naming the field that is missing, unknown or malformed."""
    values = EMBEDDING_FIELDS.read(body)
    return EmbeddingRequest(
        model=values["model"],
        inputs=values["input"],
        encoding_format=values.get("encoding_format", "float"),
        dimensions=values.get("dimensions"),
    )


def input_param(inputs: Sequence[Input], index: int) -> str:
    """What errors call one input."""
    return "input" if len(inputs) == 1 else f"input[{index}]"
