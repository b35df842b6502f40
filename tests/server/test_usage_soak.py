"""A short run of `usage_soak`: nothing is lost, doubled or charged to somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.server.live import live_server
from tests.server.usage_soak import run_soak

if TYPE_CHECKING:
    from pennyweight.api import Engine


def test_mixed_clients_of_two_projects(engine: Engine) -> None:
    with live_server(engine) as server:
        found = run_soak(server, clients=24, seconds=2.0)
    assert all(part["outcomes"]["completed"] for part in found.values())
