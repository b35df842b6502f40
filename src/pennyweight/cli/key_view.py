"""Keys as the command line shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from pennyweight.cost.prices import PICODOLLARS
from pennyweight.store.organization import Organization
from pennyweight.store.spending import Spending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table
    from rich.text import Text
    from sqlalchemy import Connection

    from pennyweight.core import Allowance
    from pennyweight.store.keys import Key
    from pennyweight.store.organization import IssuedKey

_UNSAID: Final = frozenset({None, "", "api.all"})
"""What a key has unless asked otherwise."""
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
    import sys

    from rich.console import Console

    needed = _needed(rows, _COLUMNS)
    if not sys.stdout.isatty():  # a program or a file reads it: nothing is wrapped or shortened
        Console(width=needed).print(_table(rows, _COLUMNS))
        return
    console = Console()
    columns = _COLUMNS if needed <= console.width else _telling(rows)
    console.print(_table(rows, columns))


def _table(rows: list[dict[str, Any]], columns: Sequence[str]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column == "id", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row, column) for column in columns))
    return table


def _cell(row: dict[str, Any], column: str) -> Text:
    from rich.text import Text

    return Text("" if row[column] is None else str(row[column]))  # no markup: names may have brackets


def _needed(rows: list[dict[str, Any]], columns: Sequence[str]) -> int:
    """Characters across: each column has a space on both sides and a border, and so has the table."""
    widths = (max([len(name), *(_cell(row, name).cell_len for row in rows)]) for name in columns)
    return 2 + sum(width + 3 for width in widths)


def _telling(rows: list[dict[str, Any]]) -> list[str]:
    """The columns that say something of any key."""
    return [name for name in _COLUMNS if not rows or {row[name] for row in rows} - _UNSAID]


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
    if allowance.training_tokens is not None:
        parts.append(f"{allowance.training_tokens} tokens trained/month")
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
