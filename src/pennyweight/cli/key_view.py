"""Keys as the command line shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pennyweight.cost.prices import PICODOLLARS
from pennyweight.store.organization import Organization
from pennyweight.store.spending import Spending

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.core import Allowance
    from pennyweight.store.keys import Key
    from pennyweight.store.organization import IssuedKey

_COLUMNS = ("id", "name", "project", "key", "scopes", "limits", "spent", "last used", "state")


def show_issued(issued: IssuedKey, *, as_json: bool) -> None:
    """The secret on standard output, alone, so that it can be piped; what goes with it on standard error."""
    from pennyweight.cli.terminal import notice

    key = issued.key
    if as_json:
        import json

        body = {"id": key.id, "name": key.name, "project": key.project_id, "value": issued.secret.text}
        print(json.dumps(body | {"scopes": sorted(key.scopes), "expires_at": key.expires_at}))
        return
    print(issued.secret.text)
    owner = "an admin key" if key.project_id is None else f"project {key.project_id}"
    notice(f"{key.id} ({key.name}), {owner}. This is the only time its secret is shown.")


def key_rows(connection: Connection, *, now: float) -> list[dict[str, Any]]:
    """One row a key, values as in JSON."""
    organization = Organization()
    rows = []
    for key in organization.keys.everything(connection):
        allowance = next(iter(organization.allowances.of(connection, (key.id,))), None)
        rows.append(_row(connection, key, allowance, now))
    return rows


def show_rows(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """A table, or JSON."""
    if as_json:
        import json

        print(json.dumps(rows, ensure_ascii=False))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in _COLUMNS:
        table.add_column(column, no_wrap=column == "id")
    for row in rows:
        table.add_row(*("" if row[column] is None else str(row[column]) for column in _COLUMNS))
    Console().print(table)


def _row(connection: Connection, key: Key, allowance: Allowance | None, now: float) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "project": key.project_id,
        "key": key.redacted,
        "scopes": " ".join(sorted(key.scopes)),
        "limits": "" if allowance is None else _limits(allowance),
        "spent": None if allowance is None else _spent(connection, allowance, now),
        "last used": _day(key.last_used_at),
        "state": _state(key, now),
    }


def _limits(allowance: Allowance) -> str:
    parts = []
    if allowance.requests_per_minute is not None:
        parts.append(f"{allowance.requests_per_minute} requests/min")
    if allowance.tokens_per_minute is not None:
        parts.append(f"{allowance.tokens_per_minute} tokens/min")
    if allowance.budget is not None:
        period = "/month" if allowance.budget_period == "month" else " in total"
        parts.append(f"${allowance.budget / PICODOLLARS:.6g}{period}")
    return ", ".join(parts)


def _spent(connection: Connection, allowance: Allowance, now: float) -> str | None:
    if allowance.budget is None:
        return None
    month = datetime.fromtimestamp(now, UTC).strftime("%Y-%m")
    period = month if allowance.budget_period == "month" else "total"
    [amount] = Spending().of(connection, [(allowance.subject, period)]).values()
    return f"${amount / PICODOLLARS:.6g}"


def _state(key: Key, now: float) -> str:
    if key.revoked_at is not None:
        return f"revoked {_day(key.revoked_at)}"
    if key.expires_at is None:
        return "active"
    return f"{'expired' if key.expires_at <= now else 'until'} {_day(key.expires_at)}"


def _day(seconds: int | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
