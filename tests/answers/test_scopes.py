"""What a key may do follows from its scopes; nothing about others is part of `api.all`."""

from __future__ import annotations

import pytest

from pennyweight.answers.principal import LOCAL
from pennyweight.answers.scopes import (
    ADMIN_SCOPES,
    EVERY_SCOPE,
    KNOWN_SCOPES,
    PROJECT_SCOPES,
    grants,
    read_project_scopes,
    read_scopes,
)
from pennyweight.errors import InvalidRequestError

_OF_EVERYBODY = ("api.management.read", "api.management.write", "metrics.read")


@pytest.mark.parametrize("wanted", sorted(KNOWN_SCOPES))
def test_the_three_kinds_of_holders(wanted: str) -> None:
    assert grants(EVERY_SCOPE, wanted) or wanted == "api.all.read"
    assert grants(PROJECT_SCOPES, wanted) == (wanted not in _OF_EVERYBODY)
    assert grants(ADMIN_SCOPES, wanted) == (wanted in _OF_EVERYBODY)
    assert not grants(frozenset(), wanted)


def test_reading_everything_writes_nothing_and_asks_no_model() -> None:
    own = {"api.all.read"}
    assert grants(own, "api.files.read")
    assert not grants(own, "api.files.write")
    assert not grants(own, "model.request")
    assert not grants(own, "metrics.read")


def test_one_scope_is_one_scope() -> None:
    assert grants({"api.files.write"}, "api.files.write")
    assert not grants({"api.files.write"}, "api.files.read")
    assert grants({"api.management.read"}, "metrics.read")


def test_without_keys_everything_is_allowed() -> None:
    assert LOCAL.may("api.vector_stores.write")
    assert LOCAL.may("api.management.write")
    assert (LOCAL.project, LOCAL.key) == ("default", None)


def test_unknown_scopes_are_named() -> None:
    with pytest.raises(InvalidRequestError, match=r"'api\.file\.read'; did you mean 'api\.files\.read'"):
        read_scopes(["model.request", "api.file.read"])


def test_a_project_key_is_never_an_administrator() -> None:
    assert read_project_scopes([]) == PROJECT_SCOPES
    assert read_project_scopes(["model.request"]) == {"model.request"}
    with pytest.raises(InvalidRequestError, match="admin key"):
        read_project_scopes(["api.management.read"])
