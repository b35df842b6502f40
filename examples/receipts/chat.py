"""What a model is told about a receipt, asked under a strict schema, and the answer it should learn."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from examples.receipts.receipt import FIELDS

if TYPE_CHECKING:
    from examples.receipts.receipt import Receipt

SYSTEM: Final = "Copy company, date, address and total from the receipt as JSON."
MAX_TOKENS: Final = 1400  # no answer within these lengths has more, whatever its characters
_LONGEST: Final = {"company": 80, "date": 30, "address": 200, "total": 20}  # characters
SCHEMA: Final = {
    "type": "object",
    "properties": {name: {"type": "string", "maxLength": most} for name, most in _LONGEST.items()},
    "required": list(FIELDS),
    "additionalProperties": False,
}


def question(receipt: Receipt) -> list[dict[str, str]]:
    """The messages before the answer."""
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": receipt.text}]


def lesson(receipt: Receipt) -> dict[str, Any]:
    """A line of a training file. JSON without blanks: so it is written under a schema, token for token."""
    answer = json.dumps(receipt.fields, ensure_ascii=False, separators=(",", ":"))
    return {"messages": [*question(receipt), {"role": "assistant", "content": answer}]}


def request(receipt: Receipt, model: str) -> dict[str, Any]:
    """A chat request whose answer is always valid."""
    schema = {"name": "receipt", "strict": True, "schema": SCHEMA}
    return {
        "model": model,
        "messages": question(receipt),
        "temperature": 0,
        "max_completion_tokens": MAX_TOKENS,
        "response_format": {"type": "json_schema", "json_schema": schema},
    }
