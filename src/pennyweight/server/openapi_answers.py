"""What `/openapi.json` says about plain completions, Responses and the counting of tokens."""

from __future__ import annotations

from typing import Any

from pennyweight.answers.completion_fields import COMPLETION_FIELDS
from pennyweight.answers.responses_fields import INPUT_TOKENS_FIELDS, RESPONSES_FIELDS
from pennyweight.answers.tokens_schema import DETOKENIZE_FIELDS, TOKENIZE_FIELDS
from pennyweight.server.openapi import CHAT_RESPONSES, Responses

_MODEL = "smollm2-135m-instruct"
_INTEGER: dict[str, Any] = {"type": "integer"}
_STRING: dict[str, Any] = {"type": "string"}


def _body(schema: dict[str, Any], example: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema, "example": example}}}


def _answers(description: str, properties: dict[str, Any], *, streams: bool = False) -> Responses:
    """Success beside the failures every answer may meet."""
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if streams:
        content["text/event-stream"] = {"schema": _STRING}
    return {**CHAT_RESPONSES, 200: {"description": description, "content": content}}


COMPLETIONS_BODY = _body(
    COMPLETION_FIELDS.schema, {"model": _MODEL, "prompt": "The capital of France is", "max_tokens": 5}
)
COMPLETIONS_RESPONSES = _answers(
    "The continuations; with `stream`, server-sent events ended by `data: [DONE]`",
    {
        "id": _STRING,
        "object": {"const": "text_completion"},
        "created": _INTEGER,
        "model": _STRING,
        "system_fingerprint": _STRING,
        "choices": {"type": "array", "items": {"type": "object"}},
        "usage": {"type": "object"},
    },
    streams=True,
)
RESPONSES_BODY = _body(
    RESPONSES_FIELDS.schema, {"model": _MODEL, "input": "Name the capital of France.", "temperature": 0}
)
RESPONSES_RESPONSES = _answers(
    "The answer; with `stream`, typed server-sent events",
    {
        "id": _STRING,
        "object": {"const": "response"},
        "created_at": _INTEGER,
        "status": {"enum": ["completed", "incomplete"]},
        "model": _STRING,
        "output": {"type": "array", "items": {"type": "object"}},
        "usage": {"type": "object"},
    },
    streams=True,
)
INPUT_TOKENS_BODY = _body(INPUT_TOKENS_FIELDS.schema, {"model": _MODEL, "input": "Name a colour."})
INPUT_TOKENS_RESPONSES = _answers(
    "The count", {"object": {"const": "response.input_tokens"}, "input_tokens": _INTEGER}
)
TOKENIZE_BODY = _body(TOKENIZE_FIELDS.schema, {"prompt": "Name a colour."})
TOKENIZE_RESPONSES = _answers(
    "The token ids, and how many the context holds",
    {"count": _INTEGER, "max_model_len": _INTEGER, "tokens": {"type": "array", "items": _INTEGER}},
)
TOKENIZER_INFO_RESPONSES: Responses = {
    200: _answers(
        "The texts of the tokens, null where there is none",
        {
            "bos_token": {"type": ["string", "null"]},
            "eos_token": {"type": ["string", "null"]},
            "add_bos_token": {"type": "boolean"},
            "chat_template": {"type": ["string", "null"]},
            "vocab_size": _INTEGER,
            "model_max_length": _INTEGER,
        },
    )[200],
    401: CHAT_RESPONSES[401],
}
DETOKENIZE_BODY = _body(DETOKENIZE_FIELDS.schema, {"tokens": [1, 2, 3]})
DETOKENIZE_RESPONSES = _answers("The text", {"prompt": _STRING})
