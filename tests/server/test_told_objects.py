"""What is deleted is not told again under an `Idempotency-Key`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.server.told_objects import told_objects

if TYPE_CHECKING:
    from tests.server.live import LiveServer

HI: Any = {"max_tokens": 8, "store": True, "messages": [{"role": "user", "content": "Hi"}]}
ID = "x" * 24
MESSAGE = {"role": "user", "content": "secret"}
ITEM = {"type": "message", **MESSAGE}


def ask(server: LiveServer, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
    headers = {"idempotency-key": path} if body is not None else {}
    return httpx.request(method, f"{server.url}/v1/{path}", json=body, headers=headers, timeout=60)


def is_kept(server: LiveServer, path: str, body: dict[str, Any]) -> bool:
    """Asks again."""
    return ask(server, "POST", path, body).headers.get("idempotent-replayed") == "true"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_answers_of_the_model(server: LiveServer, path: str, stream: bool) -> None:
    body = {"model": server.model, "stream": stream}
    body |= HI if path.startswith("chat") else {"input": "Hi", "max_output_tokens": 16}
    first = ask(server, "POST", path, body)
    assert is_kept(server, path, body)
    (own,) = {told for told in told_objects("", first.content) if told.startswith(("chatcmpl-", "resp_"))}
    assert ask(server, "DELETE", f"{path}/{own}").status_code == 200
    again = ask(server, "POST", path, body)
    assert (again.status_code, own in again.text) == (200, False)
    for told in told_objects("", again.content):
        ask(server, "DELETE", f"{path}/{told}")  # the next test uses the same key


@pytest.mark.parametrize(
    ("whole", "parts", "made", "part"),
    [
        ("threads", "messages", {}, MESSAGE),
        ("conversations", "items", {}, {"items": [ITEM]}),
        ("assistants", None, {"model": "MODEL"}, None),
        ("vector_stores", None, {"name": "a"}, None),
    ],
)
def test_objects_and_their_parts(
    server: LiveServer, whole: str, parts: str | None, made: dict[str, Any], part: dict[str, Any] | None
) -> None:
    if "model" in made:
        made = {"model": server.model}
    own = ask(server, "POST", whole, made).json()["id"]
    if parts is not None and part is not None:
        inside = f"{whole}/{own}/{parts}"
        answer = ask(server, "POST", inside, part).json()
        its = answer["data"][0]["id"] if "data" in answer else answer["id"]
        assert is_kept(server, inside, part)
        assert ask(server, "DELETE", f"{inside}/{its}").status_code == 200
        assert not is_kept(server, inside, part), "the part was deleted"
        assert is_kept(server, inside, part), "it was made anew"
    assert is_kept(server, whole, made)
    assert ask(server, "DELETE", f"{whole}/{own}").status_code == 200
    assert not is_kept(server, whole, made)
    if parts is not None and part is not None:
        assert ask(server, "POST", f"{whole}/{own}/{parts}", part).status_code == 404


def test_a_file_that_is_deleted_is_not_told_of(server: LiveServer) -> None:
    upload = {"file": ("a.txt", b"secret words")}
    made = httpx.post(f"{server.url}/v1/files", files=upload, data={"purpose": "assistants"}).json()["id"]
    store = httpx.post(f"{server.url}/v1/vector_stores", json={"name": "b"}).json()["id"]
    path = f"vector_stores/{store}/files"
    assert ask(server, "POST", path, {"file_id": made}).status_code == 200
    assert is_kept(server, path, {"file_id": made})
    assert ask(server, "DELETE", f"files/{made}").status_code == 200
    assert not is_kept(server, path, {"file_id": made})


def test_what_names_an_object() -> None:
    body = f'{{"id": "resp_{ID}", "text": "\\"id\\": \\"run_{ID}\\"", "previous_response_id":"resp_{ID}z"}}'
    assert told_objects(f"/v1/threads/thread_{ID}/messages", body.encode()) == {f"thread_{ID}", f"resp_{ID}"}
    assert told_objects("/v1/chat/completions", b"") == frozenset()
