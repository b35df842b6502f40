"""From the first key on everybody needs one; what a key may do, for how long, and in whose name."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import httpx
import openai
import pytest

from tests.server.issuing import ORGANIZATION, new_admin_key, new_key, new_project
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    """A server that has had its first key."""
    with live_server(engine) as server:
        new_key(server)
        yield server


def get(server: LiveServer, path: str, secret: str | None = None, **headers: str) -> httpx.Response:
    own = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return httpx.get(server.url + path, headers={**own, **headers})


def test_the_first_key_locks_the_door(engine: Engine) -> None:
    with live_server(engine) as server:
        for secret in (None, "anything"):
            assert get(server, "/v1/models", secret).status_code == 200
        key = new_key(server)
        for secret in (None, "anything", "sk-proj-" + 43 * "x"):
            reply = get(server, "/v1/models", secret)
            assert reply.status_code == 401
            assert reply.json()["error"]["code"] == "invalid_api_key"
        assert get(server, "/v1/models", key.secret.text).status_code == 200
        now = int(time.time())
        database, keys = server.services.database, ORGANIZATION.keys
        database.write_now(lambda link: keys.revoke(link, "default", key.key.id, now=now))
        assert get(server, "/v1/models", key.secret.text).status_code == 401, "at once"
        assert get(server, "/v1/models").status_code == 401, "a lock without a key stays a lock"


def test_headers_of_organization_and_project(keyed: LiveServer) -> None:
    project = new_project(keyed)
    secret = new_key(keyed, project).secret.text
    told = get(keyed, "/v1/models", secret).headers["openai-organization"]
    fitting = {"openai-organization": told, "openai-project": project}
    assert get(keyed, "/v1/models", secret, **fitting).status_code == 200
    for wrong, code in (
        ({"openai-organization": "org-other"}, "mismatched_organization"),
        ({"openai-project": "default"}, "mismatched_project"),
        ({"openai-project": "proj_" + 24 * "x"}, "mismatched_project"),
    ):
        reply = get(keyed, "/v1/models", secret, **wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, code)


def test_without_keys_the_headers_say_nothing(server: LiveServer) -> None:
    headers = {"openai-organization": "org-other", "openai-project": "proj_other"}
    assert get(server, "/v1/models", "sk-any", **headers).status_code == 200


def test_the_official_client_with_a_project(keyed: LiveServer) -> None:
    project = new_project(keyed)
    secret = new_key(keyed, project).secret.text
    client = openai.OpenAI(base_url=f"{keyed.url}/v1", api_key=secret, project=project, max_retries=0)
    assert client.models.list().data
    with (
        pytest.raises(openai.AuthenticationError) as caught,
        client.with_options(project="proj_other") as other,
    ):
        other.models.list()
    assert caught.value.code == "mismatched_project"


def test_a_key_expires_by_the_clock(keyed: LiveServer) -> None:
    secret = new_key(keyed, expires_at=int(time.time()) + 2).secret.text
    assert get(keyed, "/v1/models", secret).status_code == 200
    ended = new_key(keyed, expires_at=int(time.time())).secret.text
    reply = get(keyed, "/v1/models", ended)
    assert reply.status_code == 401
    assert "expired" in reply.json()["error"]["message"]


def test_a_missing_scope_is_named(keyed: LiveServer) -> None:
    secret = new_key(keyed, scopes=frozenset({"api.files.read"})).secret.text
    with keyed.client(secret) as client:
        assert client.models.list().data
        with pytest.raises(openai.PermissionDeniedError, match=r"Missing scopes: model\.request") as caught:
            client.chat.completions.create(model="x", messages=[{"role": "user", "content": "Hi"}])
    assert caught.value.code == "insufficient_permissions"


def test_a_key_of_a_project_is_no_administrator_and_reads_no_figures(keyed: LiveServer) -> None:
    secret = new_key(keyed).secret.text
    for path in ("/v1/organization/projects", "/v1/organization/usage/completions", "/metrics"):
        assert get(keyed, path, secret).status_code == 403
    watching = new_key(keyed, scopes=frozenset({"metrics.read"})).secret.text
    assert get(keyed, "/metrics", watching).status_code == 200


def test_an_admin_key_manages_and_reads_figures_and_asks_no_model(keyed: LiveServer) -> None:
    secret = new_admin_key(keyed)
    assert get(keyed, "/v1/organization/projects", secret).status_code == 200
    assert get(keyed, "/metrics", secret).status_code == 200
    with keyed.client(secret) as client, pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="x", messages=[{"role": "user", "content": "Hi"}])


def test_health_is_open_and_tells_strangers_nothing_of_others(keyed: LiveServer) -> None:
    for secret in (None, "wrong", new_key(keyed).secret.text):
        reply = get(keyed, "/health", secret)
        assert reply.status_code == 200
        assert set(reply.json()) == {"status", "model", "target"}
    assert "queue" in get(keyed, "/health", new_admin_key(keyed)).json()


def test_the_static_key_has_every_scope_beside_stored_ones(engine: Engine) -> None:
    with live_server(engine, api_key="static") as server:
        stored = new_key(server).secret.text
        assert get(server, "/v1/organization/projects", "static").status_code == 200
        assert get(server, "/metrics", "static").status_code == 200
        assert get(server, "/v1/models", stored).status_code == 200
        assert get(server, "/v1/models", "static", **{"openai-project": "proj_x"}).status_code == 401


def test_when_a_key_was_used_is_written(keyed: LiveServer) -> None:
    issued = new_key(keyed)
    before = int(time.time())
    get(keyed, "/v1/models", issued.secret.text)
    database, keys = keyed.services.database, ORGANIZATION.keys
    deadline = time.monotonic() + 30
    while (used := database.read_now(lambda link: keys.find(link, issued.key.id)).last_used_at) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert before <= used <= time.time()


def test_no_secret_is_stored_or_logged(keyed: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    issued = new_key(keyed)
    secret = issued.secret.text
    get(keyed, "/v1/models", secret)
    assert secret not in repr(issued)
    assert secret not in caplog.text
    path = keyed.services.database.url.database
    assert path is not None
    for name in (path, f"{path}-wal"):
        with open(name, "rb") as file:
            assert secret.encode()[10:] not in file.read()
