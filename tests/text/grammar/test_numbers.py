"""Numbers between random bounds are what a validator accepts."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pennyweight.errors import InvalidRequestError
from pennyweight.text.grammar.numbers import LARGEST_BOUND, NumberError, check_multiple, exact_bounds
from pennyweight.text.grammar.source import json_schema
from tests.text.grammar.test_patterns import _tools
from tests.text.grammar.walk import random_answer, reaches

if TYPE_CHECKING:
    from pennyweight.text.grammar.compiler import GrammarCompiler
    from pennyweight.text.tokenizer import Tokenizer

_WHOLE = st.integers(-(2**64), 2**64) | st.integers(-120, 120)
_BOUNDS = (
    _WHOLE | st.floats(-1e6, 1e6).map(lambda value: round(value, 4)) | st.sampled_from([0, 0.1, -0.5, 1e-7])
)


@st.composite
def number_schemas(draw: st.DrawFn) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": draw(st.sampled_from(["integer", "number"]))}
    for keyword in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"):
        if draw(st.booleans()):
            schema[keyword] = draw(_BOUNDS)
    if draw(st.integers(0, 3)) == 0:
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 3, 10, 60, 0.5, 0.125]))
    return schema


@settings(max_examples=100, deadline=None)
@given(schema=number_schemas(), seed=st.integers(0, 9))
def test_random_numbers_are_within_their_bounds(schema: dict[str, Any], seed: int) -> None:
    compiler, tokenizer = _tools()
    try:
        grammar = compiler.compile(json_schema(schema))
    except InvalidRequestError:
        assume(False)
    text = random_answer(grammar, tokenizer, random.Random(seed), max_tokens=200, end=0.3)
    if text is not None:
        jsonschema.validate(json.loads(text), schema)


def test_integers_have_64_bits(compiler: GrammarCompiler, tiny_tokenizer: Tokenizer) -> None:
    """Or a small model that likes zeros would write one number up to the limit."""
    grammar = compiler.compile(json_schema({"type": "integer", "minimum": 0}))
    assert reaches(grammar, tiny_tokenizer, "1234567890123456789")
    assert not reaches(grammar, tiny_tokenizer, "12345678901234567890")


@pytest.mark.parametrize(
    ("given", "moved"),
    [
        ({"minimum": 2**53 + 1}, {"minimum": 9007199254741000}),
        ({"maximum": 2**55}, {"maximum": 36028797018963900}),
        ({"minimum": -(2**55)}, {"minimum": -36028797018963900}),
        ({"maximum": 2**63 - 1}, {"maximum": LARGEST_BOUND}),
        ({"minimum": -(2**70)}, {"minimum": -LARGEST_BOUND}),
        ({"minimum": 0.1}, {"minimum": 0.1}),
        ({"minimum": 3, "exclusiveMinimum": True}, {"exclusiveMinimum": 3}),
        ({"minimum": 3, "exclusiveMinimum": False}, {"minimum": 3}),
    ],
)
def test_bounds_move_inwards_to_exact_values(given: dict[str, Any], moved: dict[str, Any]) -> None:
    exact_bounds(given)
    assert given == moved


@pytest.mark.parametrize("value", [0.1, 2.5, -1, 0, True, "1", 20_000, 2**-20, float("inf")])
def test_multiples_floats_disagree_about_are_refused(value: Any) -> None:
    with pytest.raises(NumberError):
        check_multiple(value)
