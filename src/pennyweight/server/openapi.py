"""What `/openapi.json` says about bodies that our own code reads and writes."""

from __future__ import annotations

import re
from typing import Any

from fastapi import FastAPI

from pennyweight.answers.chat_schema import chat_schema
from pennyweight.answers.embedding_schema import EMBEDDING_FIELDS

_STRING: dict[str, Any] = {"type": "string"}
_INTEGER: dict[str, Any] = {"type": "integer"}
_NULLABLE_STRING: dict[str, Any] = {"type": ["string", "null"]}
Responses = dict[int | str, dict[str, Any]]


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ERROR = _object(
    {
        "error": _object(
            {"message": _STRING, "type": _STRING, "param": _NULLABLE_STRING, "code": _NULLABLE_STRING}
        )
    }
)
_USAGE = _object(
    {
        "prompt_tokens": _INTEGER,
        "completion_tokens": _INTEGER,
        "total_tokens": _INTEGER,
        "prompt_tokens_details": _object({"cached_tokens": _INTEGER}),
    }
)
_MESSAGE = _object({"role": {"const": "assistant"}, "content": _NULLABLE_STRING, "refusal": {"type": "null"}})
_MESSAGE["properties"] |= {
    "tool_calls": _array(_object({"id": _STRING, "type": {"enum": ["function", "custom"]}})),
    "function_call": _object({"name": _STRING, "arguments": _STRING}),
}
_CHOICE = _object(
    {
        "index": _INTEGER,
        "message": _MESSAGE,
        "logprobs": {"type": ["object", "null"]},
        "finish_reason": {"enum": ["stop", "length", "tool_calls", "function_call"]},
    }
)
_COMPLETION = _object(
    {
        "id": _STRING,
        "object": {"const": "chat.completion"},
        "created": _INTEGER,
        "model": _STRING,
        "system_fingerprint": _STRING,
        "choices": _array(_CHOICE),
        "usage": _USAGE,
    }
)
_MODEL = _object({"id": _STRING, "object": {"const": "model"}, "created": _INTEGER, "owned_by": _STRING})
_RESIDENCE = _object({"value": {"enum": ["loaded", "loading", "unloaded"]}})
_MODEL["properties"]["status"] = _RESIDENCE  # of a model that runs here
_MODEL["properties"]["parent"] = _STRING  # of one that was tuned from another
_UNAUTHORIZED: Responses = {401: _json("No API key, or a wrong one", _ERROR)}

CHAT_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": chat_schema(),
            "example": {
                "model": "smollm2-135m-instruct",
                "messages": [{"role": "user", "content": "Name the capital of France."}],
                "temperature": 0,
            },
        }
    },
}
_CHAT_OK = _json("The answer; with `stream`, server-sent events ended by `data: [DONE]`", _COMPLETION)
_CHAT_OK["content"]["text/event-stream"] = {"schema": _STRING}
CHAT_RESPONSES: Responses = {
    **_UNAUTHORIZED,
    200: _CHAT_OK,
    400: _json("A field that is unknown, malformed or not supported; `param` names it", _ERROR),
    404: _json("A model that is not served here", _ERROR),
    413: _json("A body beyond the limit", _ERROR),
    503: _json("More work than the queue holds; try again", _ERROR),
}
EMBEDDING_REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {
            "schema": EMBEDDING_FIELDS.schema,
            "example": {"model": "all-minilm-l6-v2", "input": "The cat sat on the mat."},
        }
    },
}
_EMBEDDING = _object(
    {
        "object": {"const": "embedding"},
        "index": _INTEGER,
        "embedding": {"anyOf": [_array({"type": "number"}), _STRING]},
    }
)
_EMBEDDINGS = _object(
    {
        "object": {"const": "list"},
        "data": _array(_EMBEDDING),
        "model": _STRING,
        "usage": _object({"prompt_tokens": _INTEGER, "total_tokens": _INTEGER}),
    }
)
EMBEDDING_RESPONSES: Responses = {
    **_UNAUTHORIZED,
    200: _json("One vector of length 1 per input, in their order", _EMBEDDINGS),
    400: _json("A field that is unknown, malformed or not supported; `param` names it", _ERROR),
    404: _json("A model that makes no embeddings here", _ERROR),
    413: _json("A body beyond the limit", _ERROR),
    503: _json("More work than the queue holds; try again", _ERROR),
}
MODELS_RESPONSES: Responses = {
    **_UNAUTHORIZED,
    200: _json("The models served", _object({"object": {"const": "list"}, "data": _array(_MODEL)})),
}


class DescribedApp(FastAPI):
    """FastAPI, with the parameters of every path in the document.

    Routes read them from the request: a declared parameter would bring FastAPI's 422 with it.
    """

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for path, operations in document["paths"].items():
            for operation in operations.values():
                own = operation.setdefault("parameters", [])
                own += [parameter for parameter in _path_parameters(path) if parameter not in own]
        return document


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", path)
    return [{"name": name, "in": "path", "required": True, "schema": _STRING} for name in names]


MODEL_RESPONSES: Responses = {
    **_UNAUTHORIZED,
    200: _json("The model", _MODEL),
    404: _json("A model that is not served here", _ERROR),
}
DELETED_MODEL_RESPONSES: Responses = {
    **_UNAUTHORIZED,
    200: _json(
        "It is gone", _object({"id": _STRING, "object": {"const": "model"}, "deleted": {"const": True}})
    ),
    400: _json("A model that was not tuned here", _ERROR),
    404: _json("A model that is not served here", _ERROR),
}
_HEALTH = _object({"status": {"const": "ok"}, "model": _STRING, "target": _STRING})
HEALTH_RESPONSES: Responses = {
    200: _json("The server works, on this model", {**_HEALTH, "required": ["status"]}),
    503: _json("The engine has stopped", _ERROR),
}
