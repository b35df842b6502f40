"""`penny keys`: make, list and revoke keys, also beside a running server, which obeys at once."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pennyweight.cli.options import Data, Database, Json  # noqa: TC001  typer reads them at run time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pennyweight.store.database import Database as OpenDatabase

keys = typer.Typer(name="keys", help="Make, list and revoke API keys.", no_args_is_help=True)


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is called in lists and reports.")],
    project: Annotated[
        str | None, typer.Option(help="Id or name of its project; by default the default project.")
    ] = None,
    new_project: Annotated[
        str | None, typer.Option(help="Make a project of this name and give the key to it.")
    ] = None,
    admin: Annotated[
        bool, typer.Option("--admin", help="A key for projects, keys and figures, and nothing else.")
    ] = False,
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What it may do; may be repeated; by default everything in its project."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME", help="When it ends: 90d, 12h, 30m; by default never.")
    ] = None,
    requests_per_minute: Annotated[int | None, typer.Option(help="Most requests a minute.")] = None,
    tokens_per_minute: Annotated[int | None, typer.Option(help="Most tokens a minute.")] = None,
    training_tokens: Annotated[int | None, typer.Option(help="Most tokens trained a month.")] = None,
    budget: Annotated[float | None, typer.Option(help="Most US dollars, by the price list.")] = None,
    budget_period: Annotated[
        Literal["month", "total"], typer.Option(help="Whether the budget is a calendar month's, or all.")
    ] = "month",
    as_json: Json = False,
    data: Data = None,
    database: Database = None,
) -> None:
    """Make a key and show its secret, this once. From the first key on the server wants one."""
    from pennyweight.cli.key_view import show_issued
    from pennyweight.cli.key_wish import KeyWish, limits

    wish = KeyWish(
        name=name,
        project=project,
        new_project=new_project,
        admin=admin,
        scopes=tuple(scope or ()),
        expires=expires,
        limits=limits(requests_per_minute, tokens_per_minute, training_tokens, budget, budget_period),
    )
    wish.check()
    now = int(time.time())
    with _opened(data, database, new=True) as store:
        issued = store.write_now(lambda connection: wish.issue(connection, now=now), at="key.issued")
    show_issued(issued, as_json=as_json)


@keys.command("list")
def list_keys(as_json: Json = False, data: Data = None, database: Database = None) -> None:
    """List keys of all projects: what they may do, what they may use and have spent, when they were used."""
    from pennyweight.cli.key_view import key_rows, show_rows

    with _opened(data, database) as store:
        rows = store.read_now(lambda connection: key_rows(connection, now=time.time()))
    show_rows(rows, as_json=as_json)


@keys.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The key's id, as `penny keys list` shows it.")],
    data: Data = None,
    database: Database = None,
) -> None:
    """Revoke a key: from now on it opens nothing."""
    from pennyweight.store.keys import Keys

    with _opened(data, database) as store:
        repository = Keys()
        key = store.read_now(lambda connection: repository.find(connection, key_id))
        now = int(time.time())
        store.write_now(
            lambda connection: repository.revoke(connection, key.project_id, key_id, now=now),
            at="key.revoked",
        )
    print(f"Revoked {key_id} ({key.name}).")


@contextmanager
def _opened(data: str | None, database: str | None, *, new: bool = False) -> Iterator[OpenDatabase]:
    """The database that settings and flags name; `new`: it is made if it is not there."""
    from pennyweight.config import Settings

    settings = Settings.load({"data": data, "database": database})
    from pennyweight.store.data_folder import DataFolder
    from pennyweight.store.database import Database

    if settings.database is not None:
        url = settings.database
    elif new:
        url = DataFolder.open(settings.data).database_url
    else:
        url = DataFolder.find(settings.data).kept_database_url
    with Database.open(url) if new else Database.find(url) as store:
        yield store
