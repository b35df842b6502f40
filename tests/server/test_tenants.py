"""Two projects on one server: neither learns of the other, from answers, counters or errors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.server.issuing import new_key, new_project
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai

    from pennyweight.api import Engine

LONG = "The prompt of project A, long enough to fill several pages of the cache. " * 12


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[LiveServer]:
    with live_server(engine) as server:
        yield server


@pytest.fixture(scope="module")
def secrets(keyed: LiveServer) -> tuple[str, str]:
    """A key of project A and one of project B."""
    first, second = (new_key(keyed, new_project(keyed, name)).secret.text for name in "ab")
    return first, second


def ask(client: openai.OpenAI, model: str) -> Any:
    messages: Any = [{"role": "user", "content": LONG}]
    return client.chat.completions.create(model=model, messages=messages, max_tokens=4, temperature=0)


def test_cached_tokens_tell_nothing_of_another_projects_prompt(
    keyed: LiveServer, secrets: tuple[str, str]
) -> None:
    with keyed.client(secrets[0]) as a, keyed.client(secrets[1]) as b:
        cold = ask(a, keyed.model)
        warm = ask(a, keyed.model)
        assert cold.usage.prompt_tokens_details.cached_tokens == 0
        assert warm.usage.prompt_tokens_details.cached_tokens > 500, "its own prompt is found"
        computed = keyed.engine.stats().prompt_tokens
        others = ask(b, keyed.model)
        assert others.usage.prompt_tokens_details.cached_tokens == 0
        assert keyed.engine.stats().prompt_tokens - computed == others.usage.prompt_tokens, "all of it"
        assert others.choices[0].message.content == cold.choices[0].message.content
        assert ask(b, keyed.model).usage.prompt_tokens_details.cached_tokens > 500


def test_two_keys_of_one_project_share(keyed: LiveServer) -> None:
    project = new_project(keyed)
    found = []
    for _ in range(2):
        with keyed.client(new_key(keyed, project).secret.text) as client:
            found.append(ask(client, keyed.model).usage.prompt_tokens_details.cached_tokens)
    assert found[0] == 0
    assert found[1] > 500


def test_the_same_seed_gives_both_the_same_text(keyed: LiveServer, secrets: tuple[str, str]) -> None:
    texts = set()
    for secret in secrets:
        with keyed.client(secret) as client:
            answer = client.completions.create(model=keyed.model, prompt="Once", seed=7, max_tokens=12)
            texts.add(answer.choices[0].text)
    assert len(texts) == 1


@pytest.mark.parametrize("path", ["/metrics", "/v1/organization/projects", "/v1/organization/admin_api_keys"])
def test_what_concerns_everybody_is_closed(keyed: LiveServer, secrets: tuple[str, str], path: str) -> None:
    for secret in secrets:
        headers = {"authorization": f"Bearer {secret}"}
        assert httpx.get(keyed.url + path, headers=headers).status_code == 403


def test_a_refusal_is_the_same_whether_a_project_exists(keyed: LiveServer, secrets: tuple[str, str]) -> None:
    """The header names another's project, or one that is nobody's: the answers cannot be told apart."""
    existing = new_project(keyed)
    bodies = []
    for project in (existing, "proj_" + 24 * "x"):
        headers = {"authorization": f"Bearer {secrets[0]}", "openai-project": project}
        reply = httpx.get(f"{keyed.url}/v1/models", headers=headers)
        bodies.append((reply.status_code, reply.text))
    assert bodies[0] == bodies[1]
    assert bodies[0][0] == 401


def test_rates_are_each_keys_own(keyed: LiveServer) -> None:
    project = new_project(keyed)
    busy = new_key(keyed, project, requests_per_minute=1).secret.text
    idle = new_key(keyed, project, requests_per_minute=5).secret.text
    body = {"model": keyed.model, "prompt": "x", "max_tokens": 1}

    def post(secret: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {secret}"}
        return httpx.post(f"{keyed.url}/v1/completions", json=body, headers=headers, timeout=60)

    assert [post(busy).status_code for _ in range(2)] == [200, 429]
    assert post(idle).headers["x-ratelimit-remaining-requests"] == "4"
