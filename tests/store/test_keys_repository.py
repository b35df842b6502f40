"""Keys, accounts, projects, limits and spending on SQLite and PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.core import Allowance
from pennyweight.errors import InvalidRequestError, NotFoundError
from pennyweight.store.key_secrets import digest_of, new_secret
from pennyweight.store.organization import NewKey, Organization
from pennyweight.store.pages import Cursor
from pennyweight.store.spending import Spending

if TYPE_CHECKING:
    from pennyweight.store.database import Database
    from pennyweight.store.organization import IssuedKey

ORGANIZATION = Organization()
WANTED = NewKey(name="k", scopes={"api.all"})


def issue(database: Database, project: str = "default", *, now: int = 100) -> IssuedKey:
    return database.write_now(lambda link: ORGANIZATION.issue(link, project, WANTED, now=now))


def test_secrets_are_long_random_and_not_in_what_is_stored() -> None:
    secrets = {new_secret("project").text for _ in range(100)}
    assert len(secrets) == 100
    secret = new_secret("admin")
    assert secret.text.startswith("sk-admin-")
    assert len(secret.text) >= len("sk-admin-") + 43
    assert secret.digest == digest_of(secret.text)
    assert len(secret.digest) == 64
    assert secret.text not in secret.redacted
    assert secret.redacted.endswith(secret.text[-4:])
    assert digest_of("\ud800") == digest_of("?")


def test_a_key_is_found_by_its_digest_until_it_is_revoked(database: Database) -> None:
    keys = ORGANIZATION.keys
    assert not database.read_now(keys.any)
    issued = issue(database)
    assert database.read_now(keys.any)
    assert database.read_now(lambda link: keys.by_digest(link, issued.secret.digest)) == issued.key
    assert database.read_now(lambda link: keys.by_digest(link, digest_of("other"))) is None
    database.write_now(lambda link: keys.revoke(link, "default", issued.key.id, now=200))
    assert database.read_now(lambda link: keys.by_digest(link, issued.secret.digest)) is None
    assert database.read_now(keys.any), "a revoked key still locks the door"
    assert database.read_now(lambda link: keys.find(link, issued.key.id)).revoked_at == 200
    with pytest.raises(NotFoundError):
        database.write_now(lambda link: keys.revoke(link, "default", issued.key.id, now=300))


def test_an_archived_project_takes_its_keys_along(database: Database) -> None:
    keys, projects = ORGANIZATION.keys, ORGANIZATION.projects
    project = database.write_now(lambda link: projects.create(link, name="p", now=100))
    issued = issue(database, project.id)
    archived = database.write_now(lambda link: ORGANIZATION.archive(link, project.id, now=200))
    assert archived.archived_at == 200
    assert database.read_now(lambda link: keys.by_digest(link, issued.secret.digest)) is None
    again = database.write_now(lambda link: ORGANIZATION.archive(link, project.id, now=300))
    assert again.archived_at == 200, "once is once"
    with pytest.raises(InvalidRequestError, match="archived"):
        issue(database, project.id)
    with pytest.raises(NotFoundError):
        issue(database, "proj_none")
    with pytest.raises(InvalidRequestError, match="default project"):
        database.write_now(lambda link: ORGANIZATION.archive(link, "default", now=200))


def test_a_key_is_of_one_project(database: Database) -> None:
    keys, projects = ORGANIZATION.keys, ORGANIZATION.projects
    issued = issue(database)
    admin = database.write_now(lambda link: ORGANIZATION.issue_admin(link, WANTED, now=100))
    other = database.write_now(lambda link: projects.create(link, name="p", now=100)).id
    for project, key_id in ((other, issued.key.id), (None, issued.key.id), ("default", admin.key.id)):
        with pytest.raises(NotFoundError):
            database.read_now(lambda link, own=project, one=key_id: keys.get(link, own, one))
        with pytest.raises(NotFoundError):
            database.write_now(lambda link, own=project, one=key_id: keys.revoke(link, own, one, now=1))
    assert database.read_now(lambda link: keys.page(link, None, Cursor())).items == [admin.key]


def test_pages_are_complete_and_without_repetition(database: Database) -> None:
    made = [issue(database, now=100 + number // 3).key for number in range(10)]
    keys = ORGANIZATION.keys
    for order in ("asc", "desc"):
        seen, after, more = [], None, True
        while more:
            cursor = Cursor(after=after, limit=3, order=order)
            page = database.read_now(lambda link, at=cursor: keys.page(link, "default", at))
            seen += page.items
            after, more = page.items[-1].id, page.has_more
        times = [key.created_at for key in seen]
        assert times == sorted(times, reverse=order == "desc")
        assert {key.id for key in seen} == {key.id for key in made}
        assert len(seen) == len(made)


def test_a_project_is_found_by_its_name_if_only_one_has_it(database: Database) -> None:
    projects = ORGANIZATION.projects
    own = database.write_now(lambda link: projects.create(link, name="one", now=1))
    assert database.read_now(lambda link: projects.named(link, "one")) == own
    assert database.read_now(lambda link: projects.named(link, own.id)) == own
    database.write_now(lambda link: projects.create(link, name="one", now=2))
    with pytest.raises(NotFoundError, match="Several projects"):
        database.read_now(lambda link: projects.named(link, "one"))
    with pytest.raises(NotFoundError, match="No project"):
        database.read_now(lambda link: projects.named(link, "two"))


def test_limits_are_replaced_and_removed(database: Database) -> None:
    allowances = ORGANIZATION.allowances
    first = Allowance(subject="a", requests_per_minute=3, budget=9_000_000_000_000_000)
    second = Allowance(subject="a", tokens_per_minute=5, budget_period="total")
    database.write_now(lambda link: allowances.put(link, first))
    assert database.read_now(lambda link: allowances.of(link, ("b", "a"))) == (first,)
    database.write_now(lambda link: allowances.put(link, second))
    assert database.read_now(lambda link: allowances.of(link, ("a",))) == (second,)
    database.write_now(lambda link: allowances.put(link, Allowance(subject="a")))
    assert database.read_now(lambda link: allowances.of(link, ("a",))) == ()


def test_runs_write_totals_that_add_up(database: Database) -> None:
    spending, month = Spending(), ("a", "2026-11")
    for run, total in (("one", 5), ("two", 4), ("one", 7), ("one", 7), ("one", 6)):
        database.write_now(lambda link, by=run, sum_=total: spending.put(link, by, {month: sum_}))
    places = [month, ("a", "2026-12")]
    assert database.read_now(lambda link: spending.of(link, places)) == {month: 11, ("a", "2026-12"): 0}
    assert database.read_now(lambda link: spending.of(link, [month], other_than="one")) == {month: 4}
