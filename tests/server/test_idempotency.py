"""`Idempotency-Key`: the same request gets the same answer, whatever happened in between."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.jobs.trainer_process import Trainer
from pennyweight.server import recording
from tests.jobs.requests import CHAT
from tests.jobs.tuning import STAND_IN
from tests.server.issuing import new_admin_key, new_key, new_project
from tests.server.live import LiveServer, eventually, live_server
from tests.server.one_of_each import TUNING, Project, fill, ids_in, with_blanks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.api import Engine

HI: Any = [{"role": "user", "content": "Hi"}]


def post(
    server: LiveServer,
    key: str,
    path: str = "chat/completions",
    *,
    secret: str = "any",
    **fields: Any,
) -> httpx.Response:
    body = {"model": server.model, "messages": HI, "max_tokens": 8, "temperature": 1, **fields}
    headers = {"idempotency-key": key, "authorization": f"Bearer {secret}"}
    return httpx.post(f"{server.url}/v1/{path}", json=body, headers=headers, timeout=60)


@pytest.mark.parametrize("stream", [False, True])
def test_the_same_request_gets_the_same_bytes(server: LiveServer, stream: bool) -> None:
    first = post(server, f"same-{stream}", stream=stream)
    assert first.status_code == 200
    assert "idempotent-replayed" not in first.headers
    again = post(server, f"same-{stream}", stream=stream)
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.headers["x-request-id"] != first.headers["x-request-id"]
    other = post(server, f"other-{stream}", stream=stream)
    assert other.content != first.content, "ids differ: it was answered afresh"


@pytest.mark.parametrize("stream", [False, True])
def test_typed_events_and_plain_completions(server: LiveServer, stream: bool) -> None:
    for path, fields in (
        ("responses", {"input": "Hi", "max_output_tokens": 16}),
        ("completions", {"prompt": "Hi", "max_tokens": 5}),
    ):
        body = {"model": server.model, "stream": stream, **fields}
        headers = {"idempotency-key": f"{path}-{stream}"}
        first, again = (
            httpx.post(f"{server.url}/v1/{path}", json=body, headers=headers, timeout=60) for _ in range(2)
        )
        assert first.status_code == 200, first.text
        assert again.content == first.content
        assert again.headers["idempotent-replayed"] == "true"


def test_another_body_is_refused(server: LiveServer) -> None:
    assert post(server, "body").status_code == 200
    for reply in (post(server, "body", max_tokens=9), post(server, "body", "responses")):
        assert reply.status_code == 400
        assert reply.json()["error"]["code"] == "idempotency_key_reused"


def test_one_under_way_is_a_conflict(server: LiveServer) -> None:
    """The first is still being written when the second comes; it is answered when the first is done."""
    body = {"model": server.model, "messages": HI, "max_tokens": 30_000, "stream": True, "ignore_eos": True}
    headers = {"idempotency-key": "under way"}
    url = f"{server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=headers, timeout=60) as running:
        lines = running.iter_lines()  # dropped, it would close the connection
        next(lines)
        second = httpx.post(url, json=body, headers=headers)
        assert (second.status_code, second.json()["error"]["code"]) == (409, "idempotency_key_in_use")
        third = httpx.post(url, json={**body, "max_tokens": 1}, headers=headers)
        assert third.status_code == 400
    short = {**body, "max_tokens": 2, "stream": False}
    eventually(lambda: httpx.post(url, json=short, headers=headers).status_code == 200)


def test_what_failed_is_answered_afresh(server: LiveServer) -> None:
    assert post(server, "failing", temperature=99).status_code == 400
    assert post(server, "failing").status_code == 200


def test_keys_are_a_projects_own(engine: Engine) -> None:
    with live_server(engine) as server:
        one = new_key(server).secret.text
        other = new_key(server, new_project(server)).secret.text
        mine = post(server, "shared", secret=one)
        theirs = post(server, "shared", secret=other, max_tokens=3)
        assert theirs.status_code == 200
        assert "idempotent-replayed" not in theirs.headers
        assert post(server, "shared", secret=one).content == mine.content
        assert post(server, "shared", secret="wrong").status_code == 401


@pytest.mark.parametrize("path", ["projects/default/service_accounts", "admin_api_keys"])
def test_secrets_are_not_kept(engine: Engine, tmp_path: Path, path: str) -> None:
    """The key is made once, and its secret is told once."""
    data = tmp_path / "data"
    with live_server(engine, data=str(data)) as server:
        headers = {"idempotency-key": "one", "authorization": f"Bearer {new_admin_key(server)}"}
        url = f"{server.url}/v1/organization/{path}"
        first, again = (httpx.post(url, json={"name": "x"}, headers=headers) for _ in range(2))
        assert first.status_code == 200, first.text
        assert (again.status_code, again.json()["error"]["code"]) == (400, "idempotent_answer_not_kept")
        made = first.json()
        secret = made["value"] if "value" in made else made["api_key"]["value"]
        assert not [file for file in data.glob("*.db*") if secret.encode() in file.read_bytes()]
        own = [made for made in httpx.get(url, headers=headers).json()["data"] if made["name"] == "x"]
        assert len(own) == 1


def test_answers_outlive_the_server(engine: Engine, tmp_path: Path) -> None:
    contents = []
    for _ in range(2):
        with live_server(engine, data=str(tmp_path / "data")) as server:
            contents.append(post(server, "restart").content)
    assert contents[0] == contents[1]


def test_many_at_once_are_answered_once(server: LiveServer) -> None:
    replies: list[httpx.Response] = []
    threads = [
        threading.Thread(target=lambda: replies.append(post(server, "crowd", max_tokens=64, ignore_eos=True)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    fresh = [
        reply for reply in replies if reply.status_code == 200 and "idempotent-replayed" not in reply.headers
    ]
    assert len(fresh) == 1
    assert {reply.status_code for reply in replies} <= {200, 409}
    assert post(server, "crowd", max_tokens=64, ignore_eos=True).content == fresh[0].content


def test_an_answer_too_large_to_keep_says_so(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_ANSWER_BYTES", 100)
    assert post(server, "large").status_code == 200
    reply = post(server, "large")
    assert (reply.status_code, reply.json()["error"]["code"]) == (400, "idempotent_answer_not_kept")


def test_what_is_no_key(server: LiveServer) -> None:
    for key in ("", "x" * 256, "tab\there"):
        assert post(server, key).status_code == 400


def upload(server: LiveServer, key: str, content: bytes, *, boundary: str = "one") -> httpx.Response:
    headers = {"idempotency-key": key, "content-type": f"multipart/form-data; boundary={boundary}"}
    form = {"files": {"file": ("a.txt", content)}, "data": {"purpose": "user_data"}}
    return httpx.post(f"{server.url}/v1/files", headers=headers, timeout=60, **form)  # type: ignore[arg-type]


def test_an_upload_is_made_once(server: LiveServer) -> None:
    """Whatever boundary a client draws for its attempt, and wherever pieces of the body end."""
    content = 3 * 2**20 * b"x" + b"\r\n--tw"
    first = upload(server, "upload", content)
    again = upload(server, "upload", content, boundary="two")
    assert first.status_code == 200, first.text
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    other = upload(server, "upload", content[:-1])
    assert (other.status_code, other.json()["error"]["code"]) == (400, "idempotency_key_reused")
    for fruit in (b"banana", b"bnn"):
        reply = upload(server, "fruit", fruit, boundary="a")
    assert reply.json()["error"]["code"] == "idempotency_key_reused", "a boundary may be any text"
    own = first.json()["id"]
    listed = httpx.get(f"{server.url}/v1/files").json()["data"]
    assert [file["id"] for file in listed if file["bytes"] == len(content)] == [own]
    assert httpx.delete(f"{server.url}/v1/files/{own}").status_code == 200
    fresh = upload(server, "upload", content)
    assert fresh.json()["id"] != own, "what is deleted is not told of"


def test_one_upload_under_way_is_a_conflict(server: LiveServer) -> None:
    head = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n'
    )
    headers = {"idempotency-key": "slow upload", "content-type": "multipart/form-data; boundary=b"}
    url, begun, go_on = f"{server.url}/v1/files", threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield head
        begun.set()
        go_on.wait(60)
        yield b"x\r\n--b--\r\n"

    replies: list[httpx.Response] = []
    thread = threading.Thread(
        target=lambda: replies.append(httpx.post(url, content=slowly(), headers=headers, timeout=60))
    )
    thread.start()
    begun.wait(60)
    whole = head + b"x\r\n--b--\r\n"

    def second() -> httpx.Response:
        return httpx.post(url, content=whole, headers=headers, timeout=60)

    try:
        eventually(lambda: second().status_code == 409)
    finally:
        go_on.set()
        thread.join()
    assert replies[0].status_code in (200, 409)
    assert second().status_code == 200


def test_everything_that_is_made_is_made_once(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every route that makes something: the second time tells of the same object."""
    monkeypatch.setattr(Trainer, "here", lambda: STAND_IN)
    with live_server(engine) as server, httpx.Client(base_url=server.url, timeout=60) as client:
        own = Project(client)
        fill(own, server.model)
        made: dict[str, Any] = {
            "/v1/batches": {"input_file_id": own.ids["files"], "endpoint": CHAT, "completion_window": "24h"},
            "/v1/conversations": {},
            "/v1/conversations/{}/items": {"items": [{"type": "message", "role": "user", "content": "x"}]},
            "/v1/assistants": {"model": server.model},
            "/v1/threads": {},
            "/v1/threads/{}/messages": HI[0],
            "/v1/threads/runs": {"assistant_id": own.ids["assistants"]},
            "/v1/threads/{}/runs": {"assistant_id": own.ids["assistants"]},
            "/v1/responses": {"model": server.model, "input": "Hi", "background": True},
            TUNING: {"model": server.model, "training_file": own.ids["examples"]},
            "/v1/vector_stores": {},
            "/v1/vector_stores/{}/file_batches": {"file_ids": [own.ids["files"]]},
        }
        documented = client.get("/openapi.json").json()["paths"]
        paths = {with_blanks(path): path for path, methods in documented.items() if "post" in methods}
        for blank, body in made.items():
            place = blank.format(*ids_in(paths[blank], own.ids))
            headers = {"idempotency-key": f"once {blank}"}
            first, again = (client.post(place, json=body, headers=headers) for _ in range(2))
            assert first.status_code == 200, (blank, first.text)
            assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true"), blank


def test_reading_takes_no_notice(server: LiveServer) -> None:
    headers = {"idempotency-key": "reading"}
    for _ in range(2):
        reply = httpx.get(f"{server.url}/v1/models", headers=headers)
        assert "idempotent-replayed" not in reply.headers


def test_a_body_beyond_the_limit(server: LiveServer) -> None:
    assert post(server, "body too large", user="x" * 2**21).status_code == 413
