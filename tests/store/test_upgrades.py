"""A database of every earlier schema, with rows in all its tables, keeps them through all later revisions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, delete, func, insert, inspect, select

from pennyweight.store import migrations
from pennyweight.store.blobs import BlobStore
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.migrate import revision_of
from pennyweight.store.tables import metadata
from pennyweight.store.tables.conversations import conversation_items, conversations
from pennyweight.store.text_index import TextIndex
from pennyweight.store.verify import verify
from tests.store.filled import add_run, fill
from tests.store.tuned import add_tuning

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Table

    from tests.store.postgres_server import PostgresServer

Rows = dict[str, list[dict[str, Any]]]
HAD_RUNS = "0004"
HAD_CHUNKS = "0002"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Path]:
    """Data folders of today with something in every table; True: runs too, which came late."""
    made = {}
    for with_runs in (False, True):
        folder = DataFolder.open(str(tmp_path_factory.mktemp("filled")))
        with Database.open(folder.database_url) as database:
            fill(database, BlobStore(folder.path, database))
            if with_runs:
                database.write_now(add_run)
                database.write_now(add_tuning)
        made[with_runs] = folder.path
    return made


def old_tables(connection: Connection) -> Iterator[tuple[Table, list[Any]]]:
    """The tables that are there, in the order their references need, each with the columns it has."""
    there = inspect(connection)
    names = set(there.get_table_names())
    for table in metadata.sorted_tables:
        if table.name in names:
            columns = {column["name"] for column in there.get_columns(table.name)}
            yield table, [column for column in table.c if column.name in columns]


def make_old(url: str, revision: str, rows: Rows) -> dict[str, list[str]]:
    """A database of `revision` with what it can hold of `rows`; the names of its columns by table."""
    from alembic import command
    from alembic.config import Config

    engine = create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(Path(migrations.__file__).parent))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        held = {table.name: [column.name for column in columns] for table, columns in old_tables(connection)}
        for table in reversed(metadata.sorted_tables):
            if table.name in held:
                connection.execute(delete(table))
        for table in metadata.sorted_tables:
            for row in rows[table.name] if table.name in held else ():
                values = {name: row[name] for name in held[table.name]}
                connection.execute(insert(table).values(**values))
    engine.dispose()
    return held


def rows_of(connection: Connection, names: Sequence[str]) -> Rows:
    tables = [table for table in metadata.sorted_tables if table.name in names]
    return {
        table.name: [dict(row) for row in connection.execute(select(table)).mappings()] for table in tables
    }


def only(rows: Rows, held: dict[str, list[str]]) -> dict[str, list[tuple[object, ...]]]:
    return {
        name: sorted((tuple(row[column] for column in columns) for row in rows[name]), key=repr)
        for name, columns in held.items()
    }


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("revision", migrations.REVISIONS[:-1])
def test_what_was_stored_is_there_after_the_upgrade(
    kind: str, revision: str, folders: dict[bool, Path], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    folder = folders[revision >= HAD_RUNS]
    with Database.open(f"sqlite:///{folder / 'pennyweight.db'}") as today:
        rows = today.read_now(lambda c: rows_of(c, [table.name for table in metadata.sorted_tables]))
    url = f"sqlite:///{tmp_path / 'old.db'}"
    if kind == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = postgres.new_database(migrated=False)
    held = make_old(url, revision, rows)
    assert all(rows[name] for name in held), "something is in every table"
    with Database.open(url) as database:
        assert database.read_now(revision_of) == migrations.HEAD
        assert only(database.read_now(lambda c: rows_of(c, list(held))), held) == only(rows, held)
        assert [verdict for verdict in verify(database, folder) if verdict.findings] == []
        place = conversation_items.c
        placed = select(place.conversation_id, func.max(place.position)).group_by(place.conversation_id)
        given = select(conversations.c.id, conversations.c.num_given)
        assert database.read_now(lambda c: set(c.execute(given))) == database.read_now(
            lambda c: set(c.execute(placed))
        )
        if revision >= HAD_CHUNKS:
            (store,) = {row["store_number"] for row in rows["chunks"]}
            found = database.read_now(lambda c: TextIndex().nums_with(c, [store], ["zwei", "drei"]))
            assert found == {"zwei": 1, "drei": 0}
