"""What a running server has written down of its requests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.server.live import eventually
from tests.store.kept_usage import kept_usage

if TYPE_CHECKING:
    from pennyweight.store.usage import UsageRow
    from tests.server.live import LiveServer


def usage_rows(server: LiveServer, project: str = "default") -> list[UsageRow]:
    """All rows of `project`, those of requests that have ended a moment ago included."""
    eventually(lambda: not server.services.usage.num_waiting)
    return server.services.database.read_now(lambda link: kept_usage(link, project))


def row_of(server: LiveServer, request_id: str) -> UsageRow:
    """The one row of a request; it may end after its client has seen the answer."""
    eventually(lambda: request_id in [row.request_id for row in usage_rows(server)])
    [row] = [row for row in usage_rows(server) if row.request_id == request_id]
    return row
