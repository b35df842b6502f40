"""The query of a list: what the official client sends is understood, everything else is refused by name."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from openai._qs import Querystring
from starlette.requests import Request

from pennyweight.answers.fields import ParameterError
from pennyweight.server.organization_fields import read_query as read_lists
from pennyweight.server.paging import read_metadata, read_page, read_query
from pennyweight.store.pages import Cursor

NAMES = ("after", "before", "limit", "order", "metadata")


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode(), "headers": []})


def test_entries_as_the_client_sends_them() -> None:
    entries = {"a": "b", "plan [x]": "50% & more", "ü]": "=", "": "none"}
    sent = Querystring(array_format="brackets").stringify({"limit": 3, "metadata": entries})
    query = read_query(request(sent), *NAMES)
    assert read_metadata(query) == entries
    assert read_page(query, most=100, default=20) == Cursor(limit=3, order="desc")


def test_the_default_order_is_the_lists_own() -> None:
    assert read_page({}, most=100, default=20, order="asc") == Cursor(limit=20, order="asc")
    given = {"order": "desc", "after": "a", "before": "b"}
    expected = Cursor(limit=20, order="desc", after="a", before="b")
    assert read_page(given, most=100, default=20, order="asc") == expected


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("colour=1", "colour"),
        ("limit[x]=1", "limit[x]"),
        ("metadata=x", "metadata"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        (f"metadata[a]={'x' * 513}", "metadata.a"),
        ("&".join(f"metadata[{number}]=x" for number in range(17)), "metadata"),
        (f"metadata[{quote('ü' * 65)}]=x", "metadata"),
    ],
)
def test_what_is_refused_is_named(query: str, param: str) -> None:
    def read() -> None:
        found = read_query(request(query), *NAMES)
        read_page(found, most=100, default=20)
        read_metadata(found)

    with pytest.raises(ParameterError) as caught:
        read()
    assert caught.value.param == param


@pytest.mark.parametrize("limit", ["-1", "0", "101", "x", "1.5", "9" * 30, "\u0661"])
def test_a_limit_that_is_refused_is_shown_with_its_range(limit: str) -> None:
    for read in (
        lambda: read_page({"limit": limit}, most=100, default=20),
        lambda: read_lists({"limit": limit}),
    ):
        with pytest.raises(ParameterError) as caught:
            read()
        assert limit in caught.value.message
        assert "from 1 to 100" in caught.value.message


def test_a_list_without_metadata_takes_none() -> None:
    with pytest.raises(ParameterError, match="metadata"):
        read_query(request("metadata[a]=b"), "limit")
