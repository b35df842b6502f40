"""Projects, service accounts and keys through OpenAI's client with an admin key, from create to delete."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.server.issuing import new_admin_key
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pennyweight.api import Engine


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        yield server


@pytest.fixture(scope="module")
def admin(keyed: LiveServer) -> Iterator[Any]:
    """`client.admin.organization` of the official client, which checks every answer against its types."""
    with openai.OpenAI(
        base_url=f"{keyed.url}/v1",
        api_key="",
        admin_api_key=new_admin_key(keyed),
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client.admin.organization


def works(server: LiveServer, secret: str) -> bool:
    headers = {"authorization": f"Bearer {secret}"}
    return httpx.get(f"{server.url}/v1/models", headers=headers).status_code == 200


def test_a_project_from_beginning_to_end(keyed: LiveServer, admin: Any) -> None:
    project = admin.projects.create(name="Räume")
    assert (project.name, project.status, project.archived_at) == ("Räume", "active", None)
    assert project.id.startswith("proj_")
    assert admin.projects.retrieve(project.id) == project
    assert admin.projects.update(project.id, name="Rooms").name == "Rooms"
    account = admin.projects.service_accounts.create(project.id, name="ci")
    assert works(keyed, account.api_key.value)
    archived = admin.projects.archive(project.id)
    assert archived.status == "archived"
    assert archived.archived_at >= project.created_at
    assert not works(keyed, account.api_key.value), "its keys went with it, at once"
    assert project.id not in [item.id for item in admin.projects.list()]
    assert project.id in [item.id for item in admin.projects.list(include_archived=True)]
    with pytest.raises(openai.BadRequestError, match="archived"):
        admin.projects.service_accounts.create(project.id, name="late")


def test_projects_are_listed_page_by_page(admin: Any) -> None:
    made = [admin.projects.create(name=f"p{number}").id for number in range(5)]
    page = admin.projects.list(limit=2)
    assert len(page.data) == 2
    assert page.has_more
    listed = [project.id for project in admin.projects.list(limit=2)]
    assert listed[0] == "default"
    assert [own for own in listed if own in made] == sorted(made, key=listed.index)
    assert len(listed) == len(set(listed))
    assert set(made) <= set(listed)


def test_service_accounts_and_their_keys(keyed: LiveServer, admin: Any) -> None:
    project = admin.projects.create(name="bots").id
    accounts, keys = admin.projects.service_accounts, admin.projects.api_keys
    first = accounts.create(project, name="one", expires_in_seconds=3600)
    assert first.role == "member"
    assert abs(first.api_key.expires_at - time.time() - 3600) < 60
    bare = accounts.create(project, name="two", create_service_account_only=True)
    assert (bare.role, bare.api_key) == ("none", None)
    assert {item.id for item in accounts.list(project)} == {first.id, bare.id}
    assert accounts.update(bare.id, project_id=project, name="three", role="owner").name == "three"
    assert accounts.retrieve(bare.id, project_id=project).role == "owner"
    more = accounts.api_keys.create(bare.id, project_id=project, name="read", scopes=["api.all.read"])
    listed = {key.id: key for key in keys.list(project)}
    assert set(listed) == {first.api_key.id, more.id}
    shown = listed[more.id]
    assert shown.redacted_value.endswith(more.value[-4:])
    assert more.value not in shown.model_dump_json()
    assert shown.owner.service_account.id == bare.id
    assert keys.retrieve(more.id, project_id=project) == shown
    assert keys.update(more.id, project_id=project, expires_in_seconds=60).expires_at is not None
    assert keys.delete(more.id, project_id=project).deleted
    assert not works(keyed, more.value)
    assert works(keyed, first.api_key.value)
    assert accounts.delete(first.id, project_id=project).deleted
    assert not works(keyed, first.api_key.value), "the account took its key along"
    assert list(keys.list(project)) == []


def test_scopes_can_be_changed(keyed: LiveServer, admin: Any) -> None:
    account = admin.projects.service_accounts.create("default", name="narrow")
    key, secret = account.api_key.id, account.api_key.value
    headers = {"authorization": f"Bearer {secret}"}
    body = {"content": "Hi"}
    assert httpx.post(f"{keyed.url}/tokenize", json=body, headers=headers).status_code != 403
    admin.projects.api_keys.update(key, project_id="default", scopes=["api.all.read"])
    assert httpx.post(f"{keyed.url}/tokenize", json=body, headers=headers).status_code == 403
    admin.projects.api_keys.update(key, project_id="default", scopes=[])
    assert httpx.post(f"{keyed.url}/tokenize", json=body, headers=headers).status_code != 403
    with pytest.raises(openai.BadRequestError, match="no scope 'nonsense'"):
        admin.projects.api_keys.update(key, project_id="default", scopes=["nonsense"])
    with pytest.raises(openai.BadRequestError, match="admin key"):
        admin.projects.api_keys.update(key, project_id="default", scopes=["api.management.write"])


def test_admin_keys(keyed: LiveServer, admin: Any) -> None:
    made = admin.admin_api_keys.create(name="second", expires_in_seconds=60)
    assert made.value.startswith("sk-admin-")
    assert made.owner.role == "owner"
    fetched = admin.admin_api_keys.retrieve(made.id)
    assert fetched.redacted_value.endswith(made.value[-4:])
    assert made.id in [key.id for key in admin.admin_api_keys.list(order="desc")]
    headers = {"authorization": f"Bearer {made.value}"}
    assert httpx.get(f"{keyed.url}/v1/organization/projects", headers=headers).status_code == 200
    assert admin.admin_api_keys.delete(made.id).deleted
    assert httpx.get(f"{keyed.url}/v1/organization/projects", headers=headers).status_code == 401
    with pytest.raises(openai.NotFoundError):
        admin.admin_api_keys.retrieve(made.id)


def test_a_spend_limit(admin: Any) -> None:
    project = admin.projects.create(name="thrifty").id
    limits = admin.projects.spend_limit
    with pytest.raises(openai.NotFoundError, match="no spend limit"):
        limits.retrieve(project)
    limit = limits.update(project, currency="USD", interval="month", threshold_amount=250)
    assert (limit.threshold_amount, limit.enforcement.status) == (250, "inactive")
    assert limits.retrieve(project) == limit
    assert (
        limits.update(project, currency="USD", interval="month", threshold_amount=0).enforcement.status
        == "enforcing"
    )
    assert limits.delete(project).deleted
    with pytest.raises(openai.NotFoundError):
        limits.retrieve(project)


@pytest.mark.parametrize(("name", "said"), [("x" * 257, "256"), ("a\0b", "NUL"), ("", "empty")])
def test_names_are_bounded(admin: Any, name: str, said: str) -> None:
    project = admin.projects.create(name="n" * 256).id
    for call in (
        lambda: admin.projects.create(name=name),
        lambda: admin.projects.update(project, name=name),
        lambda: admin.projects.service_accounts.create(project, name=name),
        lambda: admin.admin_api_keys.create(name=name),
    ):
        with pytest.raises(openai.BadRequestError, match=said) as refused:
            call()
        assert refused.value.param == "name"


def test_rate_limits(keyed: LiveServer, admin: Any) -> None:
    project, other = (admin.projects.create(name=name).id for name in ("slow", "fast"))
    limits = admin.projects.rate_limits
    (limit,) = limits.list_rate_limits(project)
    assert (limit.id, limit.model) == ("rl-all", "*")
    assert limit.max_requests_per_1_minute == limit.max_tokens_per_1_minute == 2**31 - 1
    changed = limits.update_rate_limit("rl-all", project_id=project, max_requests_per_1_minute=2)
    assert (changed.max_requests_per_1_minute, changed.max_tokens_per_1_minute) == (2, 2**31 - 1)
    assert list(limits.list_rate_limits(project)) == [changed]
    assert list(limits.list_rate_limits(project, after="rl-all")) == []
    with pytest.raises(openai.BadRequestError, match="rl-none"):
        limits.list_rate_limits(project, after="rl-none")
    assert list(limits.list_rate_limits(other)) == [limit]
    ask = asking(keyed, admin, project)
    assert [ask().status_code for _ in range(3)] == [200, 200, 429]
    assert ask().headers["x-ratelimit-limit-requests"] == "2"
    assert asking(keyed, admin, other)().status_code == 200
    limits.update_rate_limit(
        "rl-all", project_id=project, max_requests_per_1_minute=2**31 - 1, max_tokens_per_1_minute=9000
    )
    free = ask()
    assert (free.status_code, free.headers["x-ratelimit-limit-tokens"]) == (200, "9000")
    assert "x-ratelimit-limit-requests" not in free.headers


def asking(server: LiveServer, admin: Any, project: str) -> Callable[[], httpx.Response]:
    """A way to ask a model with a new key of `project`."""
    secret = admin.projects.service_accounts.create(project, name="ci").api_key.value
    body = {"model": server.model, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    headers = {"authorization": f"Bearer {secret}"}
    return lambda: httpx.post(f"{server.url}/v1/chat/completions", json=body, headers=headers, timeout=60)


def test_rate_limits_that_cannot_be(admin: Any) -> None:
    limits = admin.projects.rate_limits
    for wrong in (
        {"max_requests_per_1_minute": 0},
        {"max_tokens_per_1_minute": 2**31},
        {"max_requests_per_1_day": 5},
        {"max_images_per_1_minute": 5},
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            limits.update_rate_limit("rl-all", project_id="default", **wrong)
        assert caught.value.param == next(iter(wrong))
    for project, limit in (("default", "rl-gpt-4o-mini"), ("proj_nowhere", "rl-all")):
        with pytest.raises(openai.NotFoundError):
            limits.update_rate_limit(limit, project_id=project, max_requests_per_1_minute=5)
    with pytest.raises(openai.NotFoundError):
        limits.list_rate_limits("proj_nowhere")


def test_objects_of_another_project_do_not_exist(admin: Any) -> None:
    one, two = (admin.projects.create(name=name).id for name in ("one", "two"))
    account = admin.projects.service_accounts.create(one, name="ci")
    keys, accounts = admin.projects.api_keys, admin.projects.service_accounts
    for call in (
        lambda: accounts.retrieve(account.id, project_id=two),
        lambda: accounts.delete(account.id, project_id=two),
        lambda: accounts.update(account.id, project_id=two, name="x"),
        lambda: accounts.api_keys.create(account.id, project_id=two),
        lambda: keys.retrieve(account.api_key.id, project_id=two),
        lambda: keys.delete(account.api_key.id, project_id=two),
        lambda: keys.update(account.api_key.id, project_id=two, scopes=[]),
        lambda: admin.admin_api_keys.retrieve(account.api_key.id),
        lambda: admin.admin_api_keys.delete(account.api_key.id),
    ):
        with pytest.raises(openai.NotFoundError):
            call()
    assert list(keys.list(two)) == []
    assert list(keys.list(two, after=account.api_key.id)) == []


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("projects", {}, "name"),
        ("projects", {"name": ""}, "name"),
        ("projects", {"name": "x", "residency": "EU_STORAGE"}, "residency"),
        ("projects", {"name": "x", "colour": "red"}, "colour"),
        ("projects/default/service_accounts", {"name": "x", "expires_in_seconds": 0}, "expires_in_seconds"),
        (
            "projects/default/service_accounts",
            {"name": "x", "create_service_account_only": True, "expires_in_seconds": 5},
            "expires_in_seconds",
        ),
        ("projects/default/archive", {}, "project_id"),
        ("admin_api_keys", {"name": 7}, "name"),
    ],
)
def test_what_is_wrong_is_named(keyed: LiveServer, admin: Any, path: str, body: Any, param: str) -> None:
    headers = {"authorization": f"Bearer {admin._client.admin_api_key}"}
    reply = httpx.post(f"{keyed.url}/v1/organization/{path}", json=body, headers=headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "limit=101", "order=up", "colour=red"])
def test_a_wrong_query_is_named(keyed: LiveServer, admin: Any, query: str) -> None:
    headers = {"authorization": f"Bearer {admin._client.admin_api_key}"}
    reply = httpx.get(f"{keyed.url}/v1/organization/projects?{query}", headers=headers)
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, query.partition("=")[0])


@pytest.mark.parametrize(
    "path",
    ["admin_api_keys", "admin_api_key%73", "projects/default/service_accounts", "projects/default/api_keys"],
)
def test_the_first_key_is_not_made_here(engine: Engine, path: str) -> None:
    """Whoever made it would lock everybody else out."""
    with live_server(engine) as server:
        url = f"{server.url}/v1/organization"
        reply = httpx.post(f"{url}/{path}", json={"name": "mine"}, headers={"authorization": "Bearer any"})
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "no_keys")
        assert "penny keys create" in reply.json()["error"]["message"]
        assert works(server, "any")
        assert httpx.get(f"{url}/admin_api_keys").json()["data"] == []
        assert httpx.post(f"{url}/projects", json={"name": "room"}).status_code == 200
