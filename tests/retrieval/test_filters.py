"""Filters by attributes: what they match, and what is no filter."""

from __future__ import annotations

from typing import Any

import pytest

from pennyweight.answers.fields import ParameterError
from pennyweight.retrieval.filters import read_filter

ATTRIBUTES = {"year": 2024.0, "kind": "law", "draft": False, "pages": 0.0}


def compare(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (compare("eq", "year", 2024), True),
        (compare("eq", "year", "2024"), False),
        (compare("eq", "kind", "law"), True),
        (compare("eq", "draft", False), True),
        (compare("eq", "draft", 0), False),
        (compare("eq", "pages", False), False),
        (compare("eq", "other", "law"), False),
        (compare("ne", "kind", "law"), False),
        (compare("ne", "other", "law"), True),
        (compare("gt", "year", 2023), True),
        (compare("gt", "year", 2024), False),
        (compare("gte", "year", 2024), True),
        (compare("lt", "year", 2024.5), True),
        (compare("lte", "year", 2023.9), False),
        (compare("gt", "kind", "art"), True),
        (compare("gt", "kind", 1), False),
        (compare("lt", "other", 1), False),
        (compare("in", "kind", ["law", "art"]), True),
        (compare("in", "kind", []), False),
        (compare("in", "year", [2023, 2024]), True),
        (compare("nin", "kind", ["law", "art"]), False),
        (compare("nin", "other", ["law"]), True),
        ({"type": "and", "filters": [compare("eq", "kind", "law"), compare("gt", "year", 2030)]}, False),
        ({"type": "or", "filters": [compare("eq", "kind", "law"), compare("gt", "year", 2030)]}, True),
        ({"type": "and", "filters": [{"type": "or", "filters": [compare("eq", "kind", "law")]}]}, True),
    ],
)
def test_what_matches(value: dict[str, Any], wanted: bool) -> None:
    assert read_filter(value).matches(ATTRIBUTES) is wanted


def _nested(depth: int) -> dict[str, Any]:
    value = compare("eq", "a", 1)
    for _ in range(depth):
        value = {"type": "and", "filters": [value]}
    return value


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ([], "filters"),
        ({}, "filters.type"),
        ({"type": "like", "key": "a", "value": 1}, "filters.type"),
        ({"type": "eq", "value": 1}, "filters.key"),
        ({"type": "eq", "key": 1, "value": 1}, "filters.key"),
        ({"type": "eq", "key": "a"}, "filters.value"),
        (compare("eq", "a", [1]), "filters.value"),
        (compare("in", "a", 1), "filters.value"),
        (compare("in", "a", [{}]), "filters.value[0]"),
        (compare("in", "a", [1] * 101), "filters.value"),
        ({"type": "eq", "key": "a", "value": 1, "colour": 1}, "filters.colour"),
        ({"type": "and"}, "filters.filters"),
        ({"type": "and", "filters": {}}, "filters.filters"),
        ({"type": "and", "filters": []}, "filters.filters"),
        ({"type": "or", "filters": [compare("eq", "a", 1), 1]}, "filters.filters[1]"),
        (_nested(9), "filters" + ".filters[0]" * 9),
    ],
)
def test_what_is_no_filter(value: Any, param: str) -> None:
    with pytest.raises(ParameterError) as caught:
        read_filter(value)
    assert caught.value.param == param
