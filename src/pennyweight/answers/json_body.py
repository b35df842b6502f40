"""A text that should be one JSON object, from a client: whatever is wrong with it is told in one sentence."""

from __future__ import annotations

import json
from typing import NoReturn

from pennyweight.errors import InvalidRequestError


def read_json_object(raw: bytes, *, name: str = "The body") -> dict[str, object]:
    """The object in `raw`; errors call it `name`. Raises InvalidRequestError."""
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InvalidRequestError(f"{name} is not UTF-8 text: byte {error.start} is wrong.") from error
    except json.JSONDecodeError as error:
        raise InvalidRequestError(f"{name} is not valid JSON: {error}.") from error
    except RecursionError as error:
        raise InvalidRequestError(f"{name} is not valid JSON: it is nested too deeply.") from error
    except ValueError as error:  # a number of thousands of digits, or one that is none
        raise InvalidRequestError(f"{name} is not valid JSON: {error}.") from error
    if not isinstance(body, dict):
        raise InvalidRequestError(f"{name} must be a JSON object.")
    return body


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"it has the number {name}")
