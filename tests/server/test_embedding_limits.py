"""Embeddings are charged like answers, by a price of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from pennyweight.api import Engine
from pennyweight.cost.prices import PICODOLLARS
from pennyweight.store.spending import Spending
from tests.models.tiny import write_tiny_llama
from tests.models.tiny_encoder import write_encoder_folder
from tests.server.issuing import new_key
from tests.server.live import LiveServer, eventually, live_server

if TYPE_CHECKING:
    from collections.abc import Iterator

PICODOLLARS_PER_TOKEN = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("embeddings")
    encoder = write_encoder_folder(folder / "tiny-encoder")
    model = write_tiny_llama(folder / "tiny.gguf")
    with (
        Engine.open(model, parallel=2, threads=1, embedding_model=encoder) as engine,
        live_server(engine) as server,
    ):
        yield server


def post(server: LiveServer, secret: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {secret}"}
    body = {"model": "tiny-encoder", "input": ["the cat", "the mat"]}
    return httpx.post(f"{server.url}/v1/embeddings", json=body, headers=headers, timeout=60)


def test_a_budget_is_charged_by_the_tokens(server: LiveServer) -> None:
    issued = new_key(server, budget=PICODOLLARS, budget_period="total")
    tokens = post(server, issued.secret.text).json()["usage"]["prompt_tokens"]
    place = (issued.key.id, "total")

    def spent() -> int:
        return server.services.database.read_now(lambda link: Spending().of(link, [place]))[place]

    eventually(lambda: spent() == tokens * PICODOLLARS_PER_TOKEN)
    poor = new_key(server, budget=tokens * PICODOLLARS_PER_TOKEN - 1, budget_period="total").secret.text
    reply = post(server, poor)
    assert (reply.status_code, reply.json()["error"]["code"]) == (429, "insufficient_quota")


def test_tokens_per_minute(server: LiveServer) -> None:
    secret = new_key(server, tokens_per_minute=15).secret.text
    replies = [post(server, secret) for _ in range(3)]
    assert replies[0].status_code == 200
    assert replies[-1].status_code == 429
    assert replies[-1].json()["error"]["type"] == "tokens"
