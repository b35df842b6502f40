"""Batches of two projects on a real server process: every endpoint, and nobody reaches another's.

Keys are changed as the command line changes them: in the database, beside the running server.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest
from sqlalchemy import update

from pennyweight.answers.scopes import PROJECT_SCOPES
from pennyweight.core import Allowance
from pennyweight.store.batches import Batches
from pennyweight.store.database import Database
from pennyweight.store.organization import NewKey, Organization
from pennyweight.store.tables.batches import batches
from tests.jobs.requests import CHAT, chat_line, jsonl
from tests.models.tiny import write_tiny_llama
from tests.models.tiny_encoder import write_encoder_folder
from tests.server.batching import created, ended, lines_of
from tests.server.live import eventually
from tests.server.second import second_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from openai.types import Batch
    from sqlalchemy import Connection

    from pennyweight.store.keys import Key

OFFICE = Organization()
MODEL = "gpt-4o-mini"
DOLLAR = 10**12


@dataclass(frozen=True, slots=True)
class Tenant:
    """A key and the project it is the only one of."""

    key: Key
    project: str
    client: openai.OpenAI


@dataclass(frozen=True, slots=True)
class House:
    """A running server and its database."""

    url: str
    database: Database

    def write(self, work: Callable[[Connection], Any]) -> None:
        self.database.write_now(work)

    def tenant(self, name: str, *, project: str | None = None, **limits: Any) -> Tenant:
        now = int(time.time())
        if project is None:
            project = self.database.write_now(lambda c: OFFICE.projects.create(c, name=name, now=now)).id
        owner, wanted = project, NewKey(name=name, scopes=PROJECT_SCOPES)
        allowance = Allowance(subject="", **limits)
        issued = self.database.write_now(
            lambda c: OFFICE.issue(c, owner, wanted, now=now, allowance=allowance)
        )
        return Tenant(issued.key, project, self.client(issued.secret.text))

    def client(self, secret: str) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1", api_key=secret, max_retries=0, _strict_response_validation=True
        )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("tenants")
    models = (
        *("--model", str(write_tiny_llama(folder / "tiny.gguf"))),
        *("--embedding-model", str(write_encoder_folder(folder / "tiny-encoder"))),
    )
    data = folder / "data"
    with second_server(folder, *models, "--data", str(data), "--threads", "1") as url:
        httpx.get(f"{url}/v1/models")  # it answers: its database is there
        with Database.open(f"sqlite:///{data / 'pennyweight.db'}") as database:
            yield House(url, database)


@pytest.fixture(scope="module")
def a(house: House) -> Tenant:
    return house.tenant("a")


@pytest.fixture(scope="module")
def b(house: House) -> Tenant:
    return house.tenant("b")


def line(url: str, number: int, **body: Any) -> dict[str, Any]:
    return {"custom_id": f"r-{number}", "method": "POST", "url": url, "body": body}


def long_batch(tenant: Tenant, count: int = 600) -> Batch:
    """One that is under way, with some lines done."""
    raw = jsonl(*(chat_line(number, max_tokens=60) for number in range(count)))
    batch = created(tenant.client, raw)

    def some_done() -> bool:
        counts = tenant.client.batches.retrieve(batch.id).request_counts
        return counts is not None and counts.completed > 3

    eventually(some_done)
    return batch


@pytest.mark.parametrize(
    ("url", "model", "bodies"),
    [
        (CHAT, MODEL, [{"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4}]),
        ("/v1/completions", MODEL, [{"prompt": "Once", "max_tokens": 4}, {"prompt": ["a", "b"], "n": 1}]),
        ("/v1/responses", MODEL, [{"input": "Hi", "max_output_tokens": 16}]),
        (
            "/v1/embeddings",
            "text-embedding-3-small",
            [{"input": "the cat"}, {"input": ["the cat", "a dog"], "encoding_format": "base64"}],
        ),
    ],
)
def test_every_endpoint(a: Tenant, house: House, url: str, model: str, bodies: list[dict[str, Any]]) -> None:
    greedy = {} if url == "/v1/embeddings" else {"temperature": 0}
    lines = [line(url, number, model=model, **greedy, **body) for number, body in enumerate(bodies)]
    wrong = line(url, 99, model=model, nonsense=1, **bodies[0])
    batch = ended(a.client, created(a.client, jsonl(*lines, wrong), endpoint=url))
    assert batch.status == "completed"
    told = lines_of(a.client, batch.output_file_id)
    assert [each["custom_id"] for each in told] == [each["custom_id"] for each in lines]
    headers = {"authorization": f"Bearer {a.client.api_key}"}
    prompt_tokens = 0
    for each, asked in zip(told, lines, strict=True):
        direct = httpx.post(f"{house.url}{url}", json=asked["body"], headers=headers, timeout=60).json()
        for field in ("choices", "data", "output_text", "object"):
            assert each["response"]["body"].get(field) == direct.get(field)
        usage = direct["usage"]
        prompt_tokens += usage.get("prompt_tokens") or usage["input_tokens"]
    assert batch.usage is not None
    assert batch.usage.input_tokens == prompt_tokens
    (failed,) = lines_of(a.client, batch.error_file_id)
    assert failed["response"]["body"]["error"]["param"] == "nonsense"


def test_lines_that_are_wrong_are_told_by_number(a: Tenant) -> None:
    good = line("/v1/embeddings", 0, model="text-embedding-3-small", input="a")
    other = line("/v1/embeddings", 1, model=MODEL, input="a")
    raw = jsonl(good, "", other, chat_line(2), good, "[]")
    batch = ended(a.client, created(a.client, raw, endpoint="/v1/embeddings"))
    assert batch.status == "failed"
    assert batch.errors is not None
    assert [(each.line, each.code) for each in batch.errors.data or []] == [
        (3, "mismatched_model"),
        (4, "invalid_url"),
        (5, "duplicate_custom_id"),
        (6, "invalid_json_line"),
    ]


def test_another_projects_batch_is_not_there(a: Tenant, b: Tenant) -> None:
    batch = ended(a.client, created(a.client, jsonl(chat_line(0))))
    running = long_batch(a)
    ids = {running.id, batch.id}
    assert ids <= {each.id for each in a.client.batches.list()}
    assert not ids & {each.id for each in b.client.batches.list()}
    assert not {batch.input_file_id, batch.output_file_id} & {file.id for file in b.client.files.list()}
    assert not ids & {each.id for each in b.client.batches.list(after=batch.id)}

    def refusal(ask: Callable[[str], object], own_id: str) -> list[tuple[int, str]]:
        """What B is told of A's object, and of one that does not exist."""
        told = []
        for wanted in (own_id, own_id[:-3] + "abc"):
            with pytest.raises(openai.APIStatusError) as caught:
                ask(wanted)
            told.append((caught.value.status_code, caught.value.message.replace(wanted, "ID")))
        return told

    def from_input(file_id: str) -> object:
        return b.client.batches.create(input_file_id=file_id, endpoint=CHAT, completion_window="24h")

    for ask, own_id, status in (
        (b.client.batches.retrieve, batch.id, 404),
        (b.client.batches.cancel, running.id, 404),
        (b.client.files.retrieve, batch.output_file_id, 404),
        (b.client.files.content, batch.output_file_id, 404),
        (b.client.files.delete, batch.output_file_id, 404),
        (from_input, batch.input_file_id, 400),
    ):
        assert own_id is not None
        others, nobodys = refusal(ask, own_id)
        assert others == nobodys
        assert others[0] == status
    assert a.client.batches.retrieve(running.id).status == "in_progress"
    done = a.client.batches.cancel(running.id)
    done = ended(a.client, done)
    assert done.request_counts is not None
    assert len(lines_of(a.client, done.output_file_id)) == done.request_counts.completed > 3


def test_a_window_that_is_over_ends_it_at_the_next_line(house: House, a: Tenant) -> None:
    batch = long_batch(a)
    over = update(batches).where(batches.c.id == batch.id).values(expires_at=int(time.time()))
    house.write(lambda c: c.execute(over))
    batch = ended(a.client, batch)
    assert (batch.status, batch.errors) == ("expired", None)
    output, left = lines_of(a.client, batch.output_file_id), lines_of(a.client, batch.error_file_id)
    assert 3 < len(output) < 600
    assert sorted(each["custom_id"] for each in (*output, *left)) == sorted(f"r-{n}" for n in range(600))
    assert {each["error"]["code"] for each in left} == {"batch_expired"}


def revoke(house: House, tenant: Tenant) -> None:
    house.write(lambda c: OFFICE.keys.revoke(c, tenant.project, tenant.key.id, now=int(time.time())))


def delete_account(house: House, tenant: Tenant) -> None:
    account = tenant.key.service_account_id
    assert account is not None
    house.write(lambda c: OFFICE.delete_account(c, tenant.project, account, now=int(time.time())))


def expire(house: House, tenant: Tenant) -> None:
    soon = int(time.time())
    house.write(lambda c: OFFICE.keys.update(c, tenant.project, tenant.key.id, scopes=None, expires_at=soon))


def narrow(house: House, tenant: Tenant) -> None:
    left = ["api.batches.write", "api.files.read"]
    house.write(lambda c: OFFICE.keys.update(c, tenant.project, tenant.key.id, scopes=left, expires_at=None))


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (revoke, "api_key_revoked"),
        (delete_account, "api_key_revoked"),
        (expire, "api_key_expired"),
        (narrow, "insufficient_permissions"),
    ],
)
def test_a_batch_ends_with_its_key(house: House, stop: Callable[[House, Tenant], None], code: str) -> None:
    tenant = house.tenant("gone")
    colleague = house.tenant("stays", project=tenant.project)
    batch = long_batch(tenant)
    stop(house, tenant)
    batch = ended(colleague.client, batch)
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert [each.code for each in batch.errors.data or []] == [code]
    output = lines_of(colleague.client, batch.output_file_id)
    left = lines_of(colleague.client, batch.error_file_id)
    assert batch.request_counts is not None
    assert 3 < len(output) == batch.request_counts.completed < 600
    assert len(left) == batch.request_counts.failed
    assert sorted(each["custom_id"] for each in (*output, *left)) == sorted(f"r-{n}" for n in range(600))
    assert {each["error"]["code"] for each in left} == {code}


def test_a_batch_ends_with_its_project(house: House) -> None:
    tenant = house.tenant("archived")
    batch_id = long_batch(tenant).id
    house.write(lambda c: OFFICE.archive(c, tenant.project, now=int(time.time())))

    def state() -> str:
        return house.database.read_now(lambda c: Batches().get(c, tenant.project, batch_id)).state

    eventually(lambda: state() == "failed")
    found = house.database.read_now(lambda c: Batches().get(c, tenant.project, batch_id))
    assert [each["code"] for each in found.errors] == ["project_archived"]
    assert 3 < found.num_completed < 600
    assert found.output_file_id is not None


def test_a_budget_taken_away_holds_from_the_next_line_on(house: House) -> None:
    tenant = house.tenant("poor", budget=DOLLAR)
    batch = long_batch(tenant)
    nothing = Allowance(subject=tenant.key.id, budget=0)
    house.write(lambda c: OFFICE.allowances.put(c, nothing))
    batch = ended(tenant.client, batch)
    assert batch.status == "completed"
    assert 3 < len(lines_of(tenant.client, batch.output_file_id)) < 600
    refused = lines_of(tenant.client, batch.error_file_id)
    assert {each["response"]["body"]["error"]["code"] for each in refused} == {"insufficient_quota"}


def test_a_projects_budget_given_meanwhile_holds_too(house: House) -> None:
    tenant = house.tenant("unlimited")
    batch = long_batch(tenant)
    house.write(lambda c: OFFICE.allowances.put(c, Allowance(subject=tenant.project, budget=0)))
    batch = ended(tenant.client, batch)
    assert batch.request_counts is not None
    assert batch.request_counts.completed > 3
    assert batch.request_counts.failed > 0
