"""`penny store`: verify, back up and restore what the server keeps."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003  typer reads the annotations at run time
from typing import TYPE_CHECKING, Annotated

import typer

from pennyweight.cli.options import Data, Database, Json  # noqa: TC001  typer reads them at run time

if TYPE_CHECKING:
    from pennyweight.store.backup import Copied
    from pennyweight.store.data_folder import DataFolder

store = typer.Typer(name="store", help="Verify, back up and restore what is stored.", no_args_is_help=True)


@store.command()
def verify(as_json: Json = False, data: Data = None, database: Database = None) -> None:
    """Check everything stored against everything else, also beside a running server."""
    folder, url = _place(data, database)
    from pennyweight.store.database import Database as OpenDatabase
    from pennyweight.store.verify import verify as verified

    with OpenDatabase.find(url) as opened:
        verdicts = verified(opened, folder.path)
    if as_json:
        import json

        print(json.dumps({verdict.name: verdict.findings for verdict in verdicts}, indent=2))
    else:
        for verdict in verdicts:
            print(f"{verdict.name}: {f'{len(verdict.findings)} wrong' if verdict.findings else 'ok'}")
            for finding in verdict.findings:
                print(f"  {finding}")
    if any(verdict.findings for verdict in verdicts):
        raise typer.Exit(1)


@store.command()
def backup(
    target: Annotated[Path, typer.Argument(help="The folder to make.")],
    data: Data = None,
    database: Database = None,
) -> None:
    """Back up database and blobs to a new folder, which is a data folder itself; the server may run on."""
    folder, url = _place(data, database)
    from pennyweight.store.backup import back_up

    _tell("Backed up to", target, back_up(folder, url, target))


@store.command()
def restore(
    source: Annotated[Path, typer.Argument(help="The folder that `penny store backup` made.")],
    data: Data = None,
    database: Database = None,
) -> None:
    """Restore a backup into an empty data folder, or into an empty PostgreSQL database and a folder."""
    folder, url = _place(data, database, new=True)
    from pennyweight.store.restore import restore as restored

    _tell("Restored to", folder.path, restored(source, folder, url))


def _place(data: str | None, database: str | None, *, new: bool = False) -> tuple[DataFolder, str]:
    """The data folder and the database that settings and flags name; `new`: it need not be there."""
    from pennyweight.config import Settings

    settings = Settings.load({"data": data, "database": database})
    from pennyweight.store.data_folder import DataFolder

    if new:
        folder = DataFolder.open(settings.data)
        return folder, settings.database or folder.database_url
    folder = DataFolder.find(settings.data)
    return folder, settings.database or folder.kept_database_url


def _tell(done: str, place: Path, copied: Copied) -> None:
    print(f"{done} {place}: the database and {copied.num_blobs} blobs of {copied.num_bytes / 1e6:.1f} MB.")
