"""Our own description of the interface, narrowed so that requests made up from it get somewhere."""

from __future__ import annotations

import json
from typing import Any

_LIMITS = {
    "/v1/chat/completions": "max_completion_tokens",
    "/v1/completions": "max_tokens",
    "/v1/responses": "max_output_tokens",
}
_CONTRADICTORY = {
    "chat_template_kwargs",
    "function_call",
    "functions",
    "logit_bias",
    "min_tokens",
    "stop_token_ids",
    "stream_options",
    "tool_choice",
    "top_logprobs",
}
_ON = {"type": "object", "properties": {"on": {"type": "boolean"}}, "required": ["on"]}
_ANSWERED: dict[str, list[Any]] = {
    "n": [1, 2, 3],
    "tools": [
        [{"type": "function", "function": {"name": "f", "parameters": _ON}}],
        [{"type": "custom", "custom": {"name": "g"}}, {"type": "web_search"}],
    ],
    "response_format": [
        {"type": "text"},
        {"type": "json_object"},
        {"type": "json_schema", "json_schema": {"name": "n", "schema": _ON, "strict": True}},
    ],
    "prediction": [{"type": "content", "content": "Hello, hello, hello"}],
}
_PLAIN_MESSAGES = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["role", "content"],
        "properties": {"role": {"enum": ["system", "user", "assistant"]}, "content": {"type": "string"}},
    },
}
_PAGES = {"limit": {"enum": ["1", "2", "100"]}, "order": {"enum": ["asc", "desc"]}}
_FOLLOWED = {"stream": {"enum": ["true", "false"]}, "starting_after": {"enum": ["0", "3"]}}
"""What lists and responses take behind the question mark; the description does not say."""


def answerable(document: dict[str, Any], model: str) -> dict[str, Any]:
    """The description narrowed to requests that reach the engine and end soon."""
    answered = {**_ANSWERED, "model": [model, "gpt-4o-mini"]}
    paths = {path: json.loads(json.dumps(document["paths"][path])) for path in _LIMITS}
    for path, operation in paths.items():
        schema = operation["post"]["requestBody"]["content"]["application/json"]["schema"]
        fields = schema["properties"]
        for name in _CONTRADICTORY | (set() if "messages" in fields else {"tools"}):
            fields.pop(name, None)
        fields |= {name: {"enum": values} for name, values in answered.items() if name in fields}
        if path == "/v1/chat/completions":
            fields.pop("max_tokens")  # the older name of the limit
        fields[_LIMITS[path]] = {"enum": [1, 2, 9]}
        if "messages" in fields:
            fields["messages"] = _PLAIN_MESSAGES
        schema["required"] = sorted({"model", _LIMITS[path], *schema["required"]})
    return {**document, "paths": paths}


def of_stored(document: dict[str, Any], ids: dict[str, list[str]], model: str) -> dict[str, Any]:
    """The description of whatever works on objects, with `ids` of those that are there."""
    known = {
        **{name: {"enum": [*found, "nobody"]} for name, found in ids.items()},
        "input_file_id": {"enum": ids["file_id"]},
        "previous_response_id": {"enum": [None, *ids["response_id"]]},
        "conversation": {"enum": [None, *ids["conversation_id"]]},
        "model": {"enum": [model]},
        "max_completion_tokens": {"enum": [1, 2, 9]},
        "max_output_tokens": {"enum": [1, 2, 9]},
        **{
            f"{name[:-3]}_ids": {"type": "array", "items": {"enum": ids[name]}}
            for name in ("file_id", "vector_store_id")
        },
    }
    paths: dict[str, Any] = {}
    for path, operations in document["paths"].items():
        if "/organization/" in path or not path.startswith("/v1/"):
            continue
        paths[path] = json.loads(json.dumps(operations), object_hook=lambda found: _known(found, known))
        for method, operation in paths[path].items():
            parameters = operation.setdefault("parameters", [])
            for parameter in parameters:
                parameter["schema"] = known.get(parameter["name"], parameter["schema"])
            if method == "get":
                after = {"after": {"enum": [one for found in ids.values() for one in found]}}
                values = _PAGES | after if not path.endswith("}") else {}
                values = _FOLLOWED if path.endswith("/{response_id}") else values
                parameters += [{"name": name, "in": "query", "schema": values[name]} for name in values]
            if path.endswith("/runs"):
                _require(operation, "max_completion_tokens")
    return {**document, "paths": paths}


def _known(found: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """Of an object schema, with what is known for its properties."""
    properties = found.get("properties")
    if isinstance(properties, dict):
        found["properties"] = {name: known.get(name, schema) for name, schema in properties.items()}
    return found


def _require(operation: dict[str, Any], name: str) -> None:
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        schema["required"] = sorted({name, *schema.get("required", ())})
