"""Mixed clients with two keys for a bounded time: as many rows as requests, and the tokens that clients saw.

As a program: `python -m tests.server.usage_soak --seconds 60 --clients 200`, which ends with what it found.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from pennyweight.api import Engine
from tests.models.tiny import write_tiny_llama
from tests.server.issuing import new_key, new_project
from tests.server.live import LiveServer, eventually, live_server
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.store.usage import UsageRow

TokenCounts = tuple[int, int]  # of prompt and answer


@dataclass(slots=True)
class Customer:
    """What the holders of one key have sent and seen."""

    project: str
    key_id: str
    secret: str
    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    seen: dict[str, TokenCounts] = field(default_factory=dict)  # by request id; whole answers alone


def _asked(chance: random.Random) -> tuple[str, dict[str, Any]]:
    """A path and a body; every tenth is one that is refused."""
    text, most = "word " * chance.randint(1, 80), chance.choice([1, 8, 64])
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": text}], "max_tokens": most}),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": text}], "n": 2, "max_tokens": most},
        ),
        ("/v1/completions", {"prompt": [text, text[:9]], "max_tokens": most}),
        ("/v1/responses", {"input": text, "max_output_tokens": max(16, most)}),
    ]
    path, body = chance.choice(bodies)
    if chance.random() < 0.1:
        body["temperature"] = 99
    return path, {"model": "gpt-4o-mini", **body}


async def _visit(client: httpx.AsyncClient, customer: Customer, chance: random.Random) -> None:
    path, body = _asked(chance)
    customer.sent += 1
    headers = {"authorization": f"Bearer {customer.secret}"}
    if chance.random() < 0.4:
        await _stream(client, customer, path, body, headers, patience=chance.choice([0, 3, 10_000]))
        return
    reply = await client.post(path, json=body, headers=headers)
    customer.statuses[reply.status_code] += 1
    if reply.status_code == 200:
        customer.seen[reply.headers["x-request-id"]] = _told(reply.json()["usage"])


async def _stream(
    client: httpx.AsyncClient,
    customer: Customer,
    path: str,
    body: dict[str, Any],
    headers: dict[str, str],
    *,
    patience: int,
) -> None:
    """Read everything, or leave after `patience` events."""
    options = {} if path == "/v1/responses" else {"stream_options": {"include_usage": True}}
    fields = {**body, "stream": True, **options}
    async with client.stream("POST", path, json=fields, headers=headers) as reply:
        customer.statuses[reply.status_code] += 1
        usage = None
        async for line in reply.aiter_lines():
            if line.startswith("data: {"):
                event = json.loads(line.removeprefix("data: "))
                usage = event.get("usage") or event.get("response", {}).get("usage") or usage
                patience -= 1
            if patience < 0:
                return
        if usage is not None:
            customer.seen[reply.headers["x-request-id"]] = _told(usage)


def _told(usage: dict[str, Any]) -> TokenCounts:
    names = (
        ("prompt_tokens", "completion_tokens")
        if "prompt_tokens" in usage
        else ("input_tokens", "output_tokens")
    )
    return usage[names[0]], usage[names[1]]


async def _crowd(server: LiveServer, customers: Sequence[Customer], *, clients: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds

    async def stay(number: int) -> None:
        chance = random.Random(number)
        limits = httpx.Limits(max_connections=1)
        async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as client:
            while time.monotonic() < deadline:
                await _visit(client, customers[number % len(customers)], chance)

    await asyncio.gather(*map(stay, range(clients)))


def run_soak(server: LiveServer, *, clients: int, seconds: float) -> dict[str, Any]:
    """Raises AssertionError if a row is missing, doubled or wrong; else what was counted."""
    customers = []
    for name in ("a", "b"):
        project = new_project(server, name)
        issued = new_key(server, project)
        customers.append(Customer(project=project, key_id=issued.key.id, secret=issued.secret.text))
    asyncio.run(_crowd(server, customers, clients=clients, seconds=seconds))
    stats = server.engine.stats
    eventually(lambda: stats().running == stats().waiting == 0)
    return {customer.project: check(server, customer) for customer in customers}


def check(server: LiveServer, customer: Customer) -> dict[str, Any]:
    """The rows of one customer against what they have sent and seen."""
    eventually(lambda: len(_rows(server, customer)) >= customer.sent)
    eventually(lambda: server.services.usage.num_waiting == 0)  # a row too many would come now
    rows = _rows(server, customer)
    assert len(rows) == customer.sent, "a row for every request, and no other"
    by_id = {row.request_id: row for row in rows}
    assert len(by_id) == len(rows), "none twice"
    assert {row.key_id for row in rows} == {customer.key_id}, "nobody else's"
    for request_id, counts in customer.seen.items():
        row = by_id[request_id]
        assert (row.outcome, row.prompt_tokens, row.completion_tokens) == ("completed", *counts)
    seen = [sum(counts[part] for counts in customer.seen.values()) for part in (0, 1)]
    kept = [row for row in rows if row.request_id in customer.seen]
    assert [sum(row.prompt_tokens for row in kept), sum(row.completion_tokens for row in kept)] == seen
    return {
        "requests": customer.sent,
        "statuses": dict(customer.statuses),
        "outcomes": dict(Counter(row.outcome for row in rows)),
        "tokens_seen": seen,
        "cpu_s": round(sum(row.cpu_us for row in rows) / 1e6, 1),
    }


def _rows(server: LiveServer, customer: Customer) -> list[UsageRow]:
    return server.services.database.read_now(lambda link: kept_usage(link, customer.project))


def main() -> None:
    """Run it over a tiny model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=200)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = write_tiny_llama(Path(folder) / "tiny.gguf", context_length=4096)
        with Engine.open(path, parallel=4) as engine, live_server(engine, data=f"{folder}/data") as server:
            found = run_soak(server, clients=wanted.clients, seconds=wanted.seconds)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
