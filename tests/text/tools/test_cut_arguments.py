"""Arguments that an answer's limit cut off become a history that every dialect can show."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.errors import InvalidRequestError
from pennyweight.text.tools.json_text import closed_object, object_so_far
from tests.text.tools.test_dialects import ADD, DIALECTS

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6)
KEYS = st.text(max_size=3)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


def begins(so_far: Any, value: Any) -> bool:
    """Whether `so_far` is `value` without some of its end."""
    if isinstance(value, dict) and isinstance(so_far, dict):
        pairs = list(so_far.items())
        last = len(pairs) - 1
        kept = list(value.items())[: len(pairs)]
        return all(
            key == other and (begins(item, whole) if index == last else item == whole)
            for index, ((key, item), (other, whole)) in enumerate(zip(pairs, kept, strict=True))
        )
    if isinstance(value, list) and isinstance(so_far, list):
        whole = so_far[:-1] == value[: len(so_far) - 1] if so_far else True
        return whole and (not so_far or begins(so_far[-1], value[len(so_far) - 1]))
    if isinstance(value, str) and isinstance(so_far, str):
        return value.startswith(so_far)
    return type(so_far) is type(value) and bool(so_far == value)


@given(
    value=st.dictionaries(KEYS, VALUES, max_size=4),
    share=st.floats(0, 1, exclude_max=True),
    ascii_only=st.booleans(),
)
def test_every_beginning_of_an_object(value: dict[str, Any], share: float, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    so_far = object_so_far(text[: 1 + int(share * (len(text) - 1))])
    assert so_far is not None
    assert begins(so_far, value)
    json.dumps(so_far, ensure_ascii=False).encode()  # no half of a surrogate pair


@pytest.mark.parametrize(
    ("text", "so_far"),
    [
        ('{"city": "Par', {"city": "Par"}),
        ('{"a": 1, "b": 12', {"a": 1}),
        ('{"a": [1, tru', {"a": [1]}),
        ('{"a": {"b": "\\ud83d\\ude', {"a": {"b": ""}}),
        ('{"a": "x\\', {"a": "x"}),
        ('{"a": "x\\\\', {"a": "x\\"}),
        ('{"a": 1, "b', {"a": 1}),
        ("{", {}),
    ],
)
def test_what_is_kept(text: str, so_far: dict[str, Any]) -> None:
    assert object_so_far(text) == so_far
    assert json.loads(closed_object(text)) == so_far


NO_BEGINNINGS = [
    "not json",
    "{foo bar",
    '{"a": 1}}',
    "[1",
    '"x',
    '{"a" "b',
    '{"a": 1 2',
    "{]",
    '{"a": f g',
    "12",
]


@pytest.mark.parametrize("text", NO_BEGINNINGS)
def test_what_is_no_beginning(text: str) -> None:
    assert object_so_far(text) is None
    assert closed_object(text) == text


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_a_history_with_a_call_that_was_cut_off(dialect: Any) -> None:
    def prompt(arguments: str) -> Any:
        call = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": arguments}}
        messages = [
            {"role": "user", "content": "Add."},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "cut off"},
        ]
        return dialect.prompt(messages, [ADD])

    assert prompt('{"a": 1, "s": "lon') == prompt('{"a": 1, "s": "lon"}')
    assert prompt("{") == prompt("{}")
    with pytest.raises(InvalidRequestError, match="call of 'add' are not JSON"):
        prompt("add it!")
    with pytest.raises(InvalidRequestError, match="half a surrogate pair") as caught:
        prompt('{"s": "\\udc00"}')
    assert caught.value.param == "messages[1].tool_calls[0].function.arguments"
    assert prompt('{"s": "\\ud83d\\ude00"}')


def test_long_texts_are_read_once() -> None:
    """Reading them again for each value would take minutes."""
    assert object_so_far('{"a":[' + "1," * 300_000) == {"a": [1] * 300_000}
    assert object_so_far('{"a": "' + "\\" * 1_000_001) == {"a": "\\" * 500_000}
    assert object_so_far('{"a":' * 200_000) is None  # deeper than anything may be
