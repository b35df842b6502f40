"""`response_format` and `prediction` of a chat body."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pennyweight.answers.fields import Flag, ParameterError, Text, drop_unknown, missing, wrong_type
from pennyweight.answers.options import JsonObject, JsonSchema, TextFormat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.options import ResponseFormat

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")

FORMAT_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type"],
    "properties": {
        "type": {"enum": ["text", "json_object", "json_schema"]},
        "json_schema": {"type": "object", "required": ["name"]},
    },
}
PREDICTION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "content"],
    "properties": {"type": {"const": "content"}},
}


def read_response_format(value: object, *, ignored: set[str]) -> ResponseFormat:
    """Raises ParameterError naming the place. Whether a schema can be enforced is the grammar's to say."""
    if value is None:
        return TextFormat()
    if not isinstance(value, dict):
        raise wrong_type("response_format", "an object", value)
    kind = value.get("type")
    drop_unknown(value, {"type", "json_schema"}, "response_format", ignored)
    if kind == "text":
        return TextFormat()
    if kind == "json_object":
        return JsonObject()
    if kind != "json_schema":
        if kind is None:
            raise missing("response_format.type")
        message = f"'response_format.type' is {kind!r:.80}; it may be 'text', 'json_object' or 'json_schema'."
        raise ParameterError(message, param="response_format.type", code="invalid_value")
    inner, param = value.get("json_schema"), "response_format.json_schema"
    if inner is None:
        raise missing(param)
    if not isinstance(inner, dict):
        raise wrong_type(param, "an object", inner)
    drop_unknown(inner, {"name", "schema", "strict", "description"}, param, ignored)
    return read_json_schema(inner, param)


def read_json_schema(value: Mapping[str, object], param: str) -> JsonSchema:
    """`name`, `schema`, `strict`, `description`: nested in chat completions, flat in Responses."""
    name = value.get("name")
    if name is None:
        raise missing(f"{param}.name")
    if not isinstance(name, str):
        raise wrong_type(f"{param}.name", "a string", name)
    if not _NAME.fullmatch(name):
        message = f"'{param}.name' is '{name:.80}'; a name has up to 64 letters, digits, '_' and '-'."
        raise ParameterError(message, param=f"{param}.name", code="invalid_value")
    schema, strict, description = value.get("schema"), value.get("strict"), value.get("description")
    if schema is not None and not isinstance(schema, dict):
        raise wrong_type(f"{param}.schema", "an object", schema)
    return JsonSchema(
        name=name,
        schema=schema or {},
        strict=False if strict is None else Flag().read(strict, f"{param}.strict"),
        description=None if description is None else Text().read(description, f"{param}.description"),
        param=f"{param}.schema",
    )


def read_prediction(value: object, *, ignored: set[str]) -> str | None:
    """The predicted text; empty text predicts nothing."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise wrong_type("prediction", "an object", value)
    drop_unknown(value, {"type", "content"}, "prediction", ignored)
    if value.get("type") != "content":
        message = f"'prediction.type' is {value.get('type')!r:.80}; it must be 'content'."
        raise ParameterError(message, param="prediction.type", code="invalid_value")
    content = value.get("content")
    if content is None:
        raise missing("prediction.content")
    if isinstance(content, list):
        parts = [_part(item, f"prediction.content[{i}]", ignored) for i, item in enumerate(content)]
        return "".join(parts) or None
    return Text().read(content, "prediction.content") or None


def _part(value: object, param: str, ignored: set[str]) -> str:
    if not isinstance(value, dict):
        raise wrong_type(param, "an object", value)
    if value.get("type") != "text":
        message = f"'{param}.type' is {value.get('type')!r:.80}; it must be 'text'."
        raise ParameterError(message, param=f"{param}.type", code="invalid_value")
    drop_unknown(value, {"type", "text"}, "prediction.content[]", ignored)
    return Text().read(value.get("text"), f"{param}.text")
