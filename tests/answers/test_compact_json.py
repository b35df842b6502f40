"""What is sent is one line for everybody, and says the same."""

from __future__ import annotations

import json

import pytest

from pennyweight.answers.exchange import compact_json


@pytest.mark.parametrize(
    "text", ["a", "\n\r\x0b\x0c\x1c\x1d\x1e", "\x85", "\u2028 \u2029é", "\\u2028\u2028", "😀"]
)
def test_one_line_that_says_the_same(text: str) -> None:
    sent = compact_json({"text": text, text: [1, None]}).decode()
    assert json.loads(sent) == {"text": text, text: [1, None]}
    assert sent.splitlines() == [sent]
