"""A disk that takes nothing more, at every route that writes: 507, nothing half done, and well again.

The process may not write to any file (`Service.let_it_write`), which is a full disk for every write there is,
instead of for the first one that finds no room.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.jobs.service import Service
from tests.jobs.tuning import examples
from tests.models.tiny import write_tiny_llama
from tests.server.assisting import CALL, STRICT
from tests.server.live import eventually
from tests.server.one_of_each import BODIES, TUNING, USER, Project, fill, ids_in, with_blanks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "gpt-4o-mini"
NUM_LINES = 600
KEEPS_NOTHING = (
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses/input_tokens",
    "/v1/vector_stores/{}/search",
    "/v1/moderations",
    "/tokenize",
    "/detokenize",
)
TUNED = "/v1/models/"
"""The routes of tuned models have tests of their own."""
MAY_HAVE_ENDED = (
    "/v1/responses/{}/cancel",
    "/v1/vector_stores/{}/file_batches/{}/cancel",
    f"{TUNING}/{{}}/pause",
)
"""What cannot be cancelled any more is refused before anything is written; the job is paused already."""
OLD_USAGE = "SELECT count(*) FROM usage WHERE ended_at = 1"
ORGANIZATION: dict[str, Any] = {
    "projects": {"name": "x"},
    "projects/{}/spend_limit": {"currency": "USD", "interval": "month", "threshold_amount": 9},
    "projects/{}/rate_limits/{}": {"max_requests_per_1_minute": 7},
    "projects/{}/service_accounts": {"name": "x"},
    "projects/{}/service_accounts/{}": {"name": "x"},
    "projects/{}/service_accounts/{}/api_keys": {"name": "x"},
    "projects/{}/api_keys/{}": {"scopes": ["api.all.read"]},
    "admin_api_keys": {"name": "x"},
}
"""Bodies below `/v1/organization/`."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(write_tiny_llama(tmp_path / "tiny.gguf", context_length=4096), tmp_path / "data")
    yield service
    service.kill()


def office(admin: Project) -> None:
    """A project with an account, a key and a limit, to be changed and removed."""
    place = "/v1/organization"
    project = admin.ids["projects"] = admin.made(f"{place}/projects", json={"name": "one"})
    limit = f"{place}/projects/{project}/spend_limit"
    assert admin.http.post(limit, json=ORGANIZATION["projects/{}/spend_limit"]).status_code == 200
    accounts = f"{place}/projects/{project}/service_accounts"
    account = admin.ids["service_accounts"] = admin.made(accounts, json={"name": "one"})
    admin.ids["api_keys"] = admin.made(f"{accounts}/{account}/api_keys", json={"name": "one"})
    admin.ids["admin_api_keys"] = admin.made(f"{place}/admin_api_keys", json={"name": "one"})
    admin.ids["rate_limits"] = "rl-all"


def waiting_run(own: Project) -> dict[str, str]:
    """A thread whose run waits for its tool: it can be given results, and cancelled."""
    thread = own.made("/v1/threads", json={"messages": [USER]})
    caller = own.made("/v1/assistants", json={"model": MODEL, "tools": [STRICT], "temperature": 0})
    run = own.made(f"/v1/threads/{thread}/runs", json={"assistant_id": caller, **CALL})
    place = f"/v1/threads/{thread}/runs/{run}"
    eventually(lambda: own.http.get(place).json()["status"] == "requires_action")
    call = own.http.get(place).json()["required_action"]["submit_tool_outputs"]["tool_calls"][0]["id"]
    return {"threads": thread, "runs": run, "calls": call}


def long_batch(own: Project) -> str:
    raw = jsonl(*(chat_line(number, max_tokens=60) for number in range(NUM_LINES)))
    file = own.made("/v1/files", files={"file": ("in.jsonl", raw)}, data={"purpose": "batch"})
    batch = {"input_file_id": file, "endpoint": CHAT, "completion_window": "24h"}
    return own.made("/v1/batches", json=batch)


def paused_job(own: Project) -> str:
    """It can be resumed and cancelled."""
    long = {"training_file": own.ids["examples"], "hyperparameters": {"n_epochs": 50}}
    job = own.made(TUNING, json={"model": MODEL, **long})
    return own.made(f"{TUNING}/{job}/pause")


def examples_of(own: Project) -> str:
    data = {"files": {"file": ("t.jsonl", examples())}, "data": {"purpose": "fine-tune"}}
    return own.made("/v1/files", **data)


def bodies_of(own: Project, waiting: dict[str, str]) -> dict[str, Any]:
    """By path with blanks; what is not here is sent metadata."""
    more = own.made("/v1/files", files={"file": ("b.txt", b"b")}, data={"purpose": "assistants"})
    run = {"assistant_id": own.ids["assistants"]}
    results = [{"tool_call_id": waiting["calls"], "output": "x"}]
    return {
        **BODIES,
        **{f"/v1/organization/{path}": body for path, body in ORGANIZATION.items()},
        "/v1/organization/projects/{}": {"name": "x"},
        "/v1/organization/projects/{}/archive": {},
        "/v1/batches": {"input_file_id": own.ids["files"], "endpoint": CHAT, "completion_window": "24h"},
        CHAT: {"model": MODEL, "messages": [USER], "max_tokens": 2, "store": True},
        "/v1/responses": {"model": MODEL, "input": "Hi", "max_output_tokens": 16},
        "/v1/conversations": {},
        "/v1/assistants": {"model": MODEL},
        "/v1/threads": {},
        "/v1/threads/runs": run,
        "/v1/threads/{}/runs": run,
        "/v1/threads/{}/runs/{}/submit_tool_outputs": {"tool_outputs": results},
        TUNING: {"model": MODEL, "training_file": examples_of(own)},
        "/v1/vector_stores": {},
        "/v1/vector_stores/{}/files": {"file_id": more},
        "/v1/vector_stores/{}/file_batches": {"file_ids": [more]},
    }


class Routes:
    """Every route of a running server that writes, and every list, each asked with the key it wants."""

    def __init__(self, own: Project, admin: Project) -> None:
        self._own, self._admin = own, admin
        self._waiting = waiting_run(own)
        self._bodies = bodies_of(own, self._waiting)
        document = own.http.get("/openapi.json").json()["paths"]
        self.writes = [
            (method.upper(), path)
            for path, methods in document.items()
            for method in methods
            if method != "get" and with_blanks(path) not in KEEPS_NOTHING and not path.startswith(TUNED)
        ]
        self._lists = [path for path, methods in document.items() if "get" in methods and _is_list(path)]

    def ask(self, method: str, path: str) -> httpx.Response:
        blank, whose = with_blanks(path), self._whose(path)
        ids = {**whose.ids, **self._waiting} if "/runs/{}" in blank else whose.ids
        place = blank.format(*ids_in(path, ids))
        if method == "DELETE":
            return whose.http.delete(place)
        if path == "/v1/files":
            return whose.http.post(path, files={"file": ("c", b"c")}, data={"purpose": "user_data"})
        return whose.http.post(place, json=self._bodies.get(blank, {"metadata": {"a": "b"}}))

    def listed(self) -> dict[str, list[str]]:
        """All there is."""
        pages = {path: self._whose(path).http.get(path).json()["data"] for path in self._lists}
        return {path: [one["id"] for one in page] for path, page in pages.items()}

    def _whose(self, path: str) -> Project:
        return self._admin if path.startswith("/v1/organization") else self._own


def _is_list(path: str) -> bool:
    """Whether a path of the document is a list of objects that are kept."""
    if path.startswith("/v1/organization"):
        return path.endswith(("/projects", "/admin_api_keys"))
    return path.startswith("/v1/") and "{" not in path and path != "/v1/models"


@contextmanager
def whoever_has(service: Service, secret: str) -> Iterator[Project]:
    headers = {"authorization": f"Bearer {secret}"}
    with httpx.Client(base_url=service.url, headers=headers, timeout=60) as http:
        yield Project(http)


@pytest.fixture
def people(service: Service) -> Iterator[tuple[Project, Project]]:
    """Whoever has something of everything, and the administrator; the server tidies up all the time."""
    admin_secret, service.key = service.issue(), service.issue("api.all")
    service.start(wrong=["tidies_all_the_time", "stand_in_trainer"])
    with whoever_has(service, service.key) as own, whoever_has(service, admin_secret) as admin:
        fill(own, MODEL)
        office(admin)
        yield own, admin


def test_every_write_is_refused_and_nothing_is_half_done(
    service: Service, people: tuple[Project, Project]
) -> None:
    own, _ = people
    routes = Routes(*people)
    assert len(routes.writes) > 45
    own.ids["jobs"] = paused_job(own)
    batch = own.ids["batches"] = long_batch(own)
    eventually(lambda: own.http.get(f"/v1/batches/{batch}").json()["status"] == "in_progress")
    before = routes.listed()
    service.let_it_write(False)
    service.sql("UPDATE usage SET ended_at = 1 WHERE id = (SELECT min(id) FROM usage)")
    for method, path in routes.writes:
        reply = routes.ask(method, path)
        if reply.status_code in (200, 400) and with_blanks(path) in MAY_HAVE_ENDED:
            continue
        assert reply.status_code == 507, (method, path, reply.text)
        assert reply.headers["x-should-retry"] == "false", (method, path)
        assert reply.json()["error"]["code"] == "storage_full"
    assert routes.listed() == before
    assert not list((service.folder / "incoming").iterdir())
    plain = own.http.post("/v1/completions", json={"model": MODEL, "prompt": "x", "max_tokens": 1})
    assert plain.status_code == 200, "what is not kept is answered"
    assert service.sql(OLD_USAGE) == [(1,)]
    service.let_it_write(True)
    recovers(service, routes, batch)


def recovers(service: Service, routes: Routes, batch: str) -> None:
    """Everything can be done now; what is inside of others goes before them."""
    eventually(lambda: service.sql(OLD_USAGE) == [(0,)])
    for method, path in sorted(routes.writes, key=lambda write: (write[0] == "DELETE", -write[1].count("{"))):
        if not path.endswith("/archive"):
            reply = routes.ask(method, path)
            assert reply.status_code < 500, (method, path, reply.text)
            assert "{" in path or reply.status_code == 200, (method, path, reply.text)
    service.stop()
    service.start()  # whoever worked on the batch had a lease of half a minute
    assert service.ended(batch).status == "cancelled"
    service.stop()
    service.verify()
