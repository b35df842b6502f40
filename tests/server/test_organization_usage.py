"""Usage and costs through OpenAI's admin client in strict mode, over rows whose sums are known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from pennyweight.store.usage import UsageRow, UsageRows
from tests.server.issuing import new_admin_key, new_key, new_project
from tests.server.live import LiveServer, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.api import Engine

HOUR, DAY = 3600, 86400
MIDNIGHT = 1_799_971_200  # 2027-01-15 00:00 UTC
KINDS = (
    "audio_speeches",
    "audio_transcriptions",
    "code_interpreter_sessions",
    "images",
    "moderations",
    "vector_stores",
)


def row(number: int, **fields: Any) -> UsageRow:
    values: dict[str, Any] = {
        "request_id": f"req_{number}",
        "ended_at": MIDNIGHT + number * HOUR,
        "project_id": "proj_a" if number % 2 else "proj_b",
        "key_id": f"key_{number % 3}",
        "kind": "completions",
        "endpoint": "/v1/chat/completions",
        "outcome": "completed",
        "status": 200,
        "model": "small",
        "prompt_tokens": 100,
        "cached_tokens": 10,
        "completion_tokens": 5,
        "price": 250_000_000_000,
    }
    return UsageRow(**values | fields)


@pytest.fixture(scope="module")
def kept(engine: Engine) -> Iterator[LiveServer]:
    """48 completions, one an hour, a refused one and an embedding."""
    others = [
        row(100, ended_at=MIDNIGHT, outcome="refused", status=400, prompt_tokens=0, price=0, model=None),
        row(101, ended_at=MIDNIGHT, kind="embeddings", model="encoder", completion_tokens=0, batch=True),
    ]
    with live_server(engine) as server:
        rows = [*map(row, range(48)), *others]
        server.services.database.write_now(lambda link: UsageRows().add(link, rows))
        yield server


@pytest.fixture(scope="module")
def secret(kept: LiveServer) -> str:
    return new_admin_key(kept)


@pytest.fixture(scope="module")
def usage(kept: LiveServer, secret: str) -> Iterator[Any]:
    with openai.OpenAI(
        base_url=f"{kept.url}/v1",
        api_key="",
        admin_api_key=secret,
        max_retries=0,
        _strict_response_validation=True,
    ) as client:
        yield client.admin.organization.usage


def test_days(usage: Any) -> None:
    page = usage.completions(start_time=MIDNIGHT, end_time=MIDNIGHT + 3 * DAY)
    assert (page.object, page.has_more, page.next_page) == ("page", False, None)
    assert [bucket.start_time for bucket in page.data] == [MIDNIGHT + day * DAY for day in range(3)]
    assert [bucket.end_time for bucket in page.data] == [MIDNIGHT + day * DAY for day in range(1, 4)]
    (first,), (second,), third = [bucket.results for bucket in page.data]
    assert (first.num_model_requests, second.num_model_requests, third) == (24, 24, [])
    assert (second.input_tokens, second.input_cached_tokens, second.output_tokens) == (2400, 240, 120)
    assert (second.project_id, second.model, second.batch) == (None, None, None)


def test_hours_are_cut_to_what_was_asked(usage: Any) -> None:
    page = usage.completions(start_time=MIDNIGHT + 1800, end_time=MIDNIGHT + 3 * HOUR + 60, bucket_width="1h")
    edges = [(bucket.start_time - MIDNIGHT, bucket.end_time - MIDNIGHT) for bucket in page.data]
    assert edges == [(1800, 3600), (3600, 7200), (7200, 10800), (10800, 10860)]
    assert [len(bucket.results) for bucket in page.data] == [0, 1, 1, 1]


def test_pages_follow_each_other(usage: Any) -> None:
    asked = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + 5 * HOUR, "bucket_width": "1h", "limit": 2}
    page = usage.completions(**asked)
    starts = [bucket.start_time for bucket in page.data]
    while page.has_more:
        page = usage.completions(**asked, page=page.next_page)
        assert len(page.data) <= 2
        starts += [bucket.start_time for bucket in page.data]
    assert starts == [MIDNIGHT + hour * HOUR for hour in range(5)]


def test_groups_and_filters(usage: Any) -> None:
    span = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + DAY}
    groups = usage.completions(**span, group_by=["project_id", "api_key_id", "user_id"]).data[0].results
    told = {(item.project_id, item.api_key_id): item.num_model_requests for item in groups}
    assert told[("proj_a", "key_1")] == 4
    assert sum(told.values()) == 24
    (own,) = usage.completions(**span, project_ids=["proj_a"], api_key_ids=["key_1", "key_2"]).data[0].results
    assert own.num_model_requests == 8
    assert usage.completions(**span, user_ids=["user-x"]).data[0].results == []
    assert usage.completions(**span, batch=True).data[0].results == []
    assert len(usage.completions(**span, batch=False, models=["small"]).data[0].results) == 1


def test_embeddings_and_the_kinds_that_are_never_here(usage: Any) -> None:
    span = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + DAY}
    (item,) = usage.embeddings(**span, group_by=["model"]).data[0].results
    assert (item.input_tokens, item.num_model_requests, item.model) == (100, 1, "encoder")
    for kind in KINDS:
        page = getattr(usage, kind)(**span)
        assert [bucket.results for bucket in page.data] == [[]]


def test_costs(usage: Any) -> None:
    span = {"start_time": MIDNIGHT, "end_time": MIDNIGHT + 2 * DAY}
    page = usage.costs(**span)
    assert [bucket.results[0].amount.value for bucket in page.data] == [6.25, 6.0]
    assert page.data[0].results[0].amount.currency == "usd"
    items = usage.costs(**span, group_by=["line_item", "project_id"]).data[0].results
    told = {(item.line_item, item.project_id): item.amount.value for item in items}
    assert told[("small", "proj_a")] == 3.0
    assert told[("encoder", "proj_a")] == 0.25


def test_plain_http_spells_lists_in_three_ways(kept: LiveServer, secret: str) -> None:
    url = f"{kept.url}/v1/organization/usage/completions?start_time={MIDNIGHT}&end_time={MIDNIGHT + DAY}"
    headers = {"authorization": f"Bearer {secret}"}
    spellings = ("group_by=model&group_by=batch", "group_by[]=model&group_by[]=batch", "group_by=model,batch")
    bodies = [httpx.get(f"{url}&{spelling}", headers=headers).json() for spelling in spellings]
    assert bodies[0] == bodies[1] == bodies[2]
    results = bodies[0]["data"][0]["results"]
    assert [(item["model"], item["batch"]) for item in results if item["model"]] == [("small", False)]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("", "start_time"),
        ("start_time=x", "start_time"),
        ("start_time=5&end_time=5", "end_time"),
        ("start_time=0&bucket_width=1w", "bucket_width"),
        ("start_time=0&limit=32", "limit"),
        ("start_time=0&limit=0", "limit"),
        ("start_time=0&group_by=colour", "group_by"),
        ("start_time=0&page=page_x", "page"),
        ("start_time=9&page=page_8", "page"),
        ("start_time=0&batch=maybe", "batch"),
        ("start_time=0&models=%00", "models"),
        ("start_time=0&colour=red", "colour"),
    ],
)
def test_what_is_wrong_is_named(kept: LiveServer, secret: str, query: str, param: str) -> None:
    headers = {"authorization": f"Bearer {secret}"}
    reply = httpx.get(f"{kept.url}/v1/organization/usage/completions?{query}", headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == param


def test_an_unknown_kind_is_not_there(kept: LiveServer, secret: str) -> None:
    headers = {"authorization": f"Bearer {secret}"}
    reply = httpx.get(f"{kept.url}/v1/organization/usage/dreams?start_time=0", headers=headers)
    assert reply.status_code == 404
    assert "completions" in reply.json()["error"]["message"]


def test_a_projects_key_sees_no_usage(kept: LiveServer) -> None:
    issued = new_key(kept, new_project(kept))
    headers = {"authorization": f"Bearer {issued.secret.text}"}
    for path in ("usage/completions", "costs"):
        reply = httpx.get(f"{kept.url}/v1/organization/{path}?start_time=0", headers=headers)
        assert reply.status_code == 403
