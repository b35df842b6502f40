"""What people give as JSON and are told again must be writable as JSON in UTF-8."""

from __future__ import annotations

import json

from pennyweight.answers.fields import ParameterError


def check_plain(value: object, param: str) -> None:
    """Raise ParameterError for halves of surrogate pairs, and numbers too large to be any."""
    try:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except ValueError as error:  # UnicodeEncodeError is one
        message = f"'{param}' holds what JSON cannot: half a surrogate pair, or a number beyond all numbers."
        raise ParameterError(message, param=param, code="invalid_value") from error
