"""Transactions: durable when told, alone when they fail, grouped when they wait; readers see one moment."""

from __future__ import annotations

import asyncio
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, func, insert, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from pennyweight.errors import ConfigError, DatabaseUnavailableError, InvalidRequestError, NotFoundError
from pennyweight.store.database import Database
from pennyweight.store.projects import DEFAULT_PROJECT, Projects
from pennyweight.store.tables.projects import projects as table

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.store.postgres_server import PostgresServer

NOW = 1_700_000_000
projects = Projects()


def creation(name: str) -> Callable[[Connection], str]:
    return lambda connection: projects.create(connection, name=name, now=NOW).id


def count(connection: Connection) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_what_was_written_is_there_after_closing(database_url: str) -> None:
    with Database.open(database_url) as database:
        project = database.write_now(creation("one"))
    with Database.open(database_url) as database:
        found = database.read_now(lambda connection: projects.get(connection, project))
    assert (found.name, found.created_at, found.archived_at) == ("one", NOW, None)


def test_the_default_project_exists_from_the_start(database: Database) -> None:
    assert database.read_now(lambda connection: projects.get(connection, DEFAULT_PROJECT).id) == "default"
    with pytest.raises(NotFoundError, match="'proj_other'"):
        database.read_now(lambda connection: projects.get(connection, "proj_other"))


def test_a_work_that_raises_undoes_itself_alone(database: Database) -> None:
    def broken(connection: Connection) -> None:
        creation("undone")(connection)
        raise ValueError("no")

    async def all_at_once() -> list[object]:
        works = [creation("a"), broken, creation("b"), twice, creation("c")]
        return await asyncio.gather(*(database.write(work) for work in works), return_exceptions=True)

    def twice(connection: Connection) -> None:
        connection.execute(insert(table).values(id="default", name="again", created_at=NOW))

    outcomes = asyncio.run(all_at_once())
    assert [type(outcome) for outcome in outcomes] == [str, ValueError, str, IntegrityError, str]
    assert database.read_now(count) == 1 + 3


def test_a_text_postgresql_cannot_hold_is_the_requests_fault(postgres: PostgresServer) -> None:
    with Database.open(postgres.new_database()) as database:
        with pytest.raises(InvalidRequestError, match="cannot hold"):
            database.read_now(lambda connection: projects.get(connection, "a\0b"))
        with pytest.raises(InvalidRequestError, match="cannot hold"):
            database.write_now(creation("a\0b"))
        assert database.write_now(creation("a")).startswith("proj_")


def test_works_that_wait_share_a_commit(database: Database) -> None:
    started, release, transactions = Event(), Event(), []
    current = "SELECT pg_current_xact_id()::text" if "postgres" in str(database.url) else "SELECT 1"

    def noted(connection: Connection) -> None:
        transactions.append((id(connection.get_transaction()), connection.execute(text(current)).scalar()))

    def first(connection: Connection) -> None:
        started.set()
        release.wait(30)
        noted(connection)

    thread = Thread(target=database.write_now, args=(first,))
    thread.start()
    started.wait(30)
    futures = [database._writer.enqueue(noted) for _ in range(5)]
    release.set()
    for future in futures:
        future.result()
    thread.join()
    assert len(transactions) == 6
    assert len({place for place, _ in transactions[1:]}) == 1


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(DBAPIError):
        database.read_now(creation("no"))
    assert database.read_now(count) == 1


def test_a_reader_sees_one_moment(database: Database) -> None:
    def read_twice(connection: Connection) -> tuple[int, int]:
        before = count(connection)
        database.write_now(creation("meanwhile"))
        return before, count(connection)

    assert database.read_now(read_twice) == (1, 1)
    assert asyncio.run(database.read(count)) == 2


def test_a_cancelled_work_that_waits_is_never_run(database: Database) -> None:
    started, release = Event(), Event()

    def first_work(_: Connection) -> None:
        started.set()
        release.wait(30)

    async def cancel_the_second() -> None:
        first = asyncio.ensure_future(database.write(first_work))
        await asyncio.to_thread(started.wait, 30)
        second = asyncio.ensure_future(database.write(creation("never")))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
        release.set()
        await first

    asyncio.run(cancel_the_second())
    assert database.read_now(count) == 1


def test_a_closed_database_takes_nothing(database_url: str) -> None:
    database = Database.open(database_url)
    futures = [database._writer.enqueue(creation(str(number))) for number in range(300)]
    database.close()
    assert all(future.result() for future in futures)  # what was enqueued is finished
    with pytest.raises(DatabaseUnavailableError):
        database.write_now(count)
    database.close()


def test_two_processes_writing_do_not_lose_a_count(database_url: str) -> None:
    """Two `Database` objects stand for two processes: nothing is shared between them but the database."""

    def longer(connection: Connection) -> None:
        name = projects.get(connection, DEFAULT_PROJECT).name
        connection.execute(table.update().where(table.c.id == DEFAULT_PROJECT).values(name=name + "x"))

    def many(database: Database) -> None:
        for _ in range(50):
            database.write_now(longer)

    with Database.open(database_url) as one, Database.open(database_url) as other:
        threads = [Thread(target=many, args=(database,)) for database in (one, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        name = one.read_now(lambda connection: projects.get(connection, DEFAULT_PROJECT).name)
    assert name == "Default project" + 100 * "x"


@pytest.mark.parametrize("url", ["mysql://root@localhost/x", "no url at all", "sqlite://", "sqlite:////no/x"])
def test_databases_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError):
        Database.open(url)


def test_a_password_is_not_told(postgres: PostgresServer) -> None:
    url = postgres.url("no_such_database").replace("penny@", "penny:hunter2@")
    with pytest.raises(ConfigError, match="no_such_database") as caught:
        Database.open(url)
    assert "hunter2" not in caught.value.message


def test_a_database_that_went_away_and_came_back(postgres: PostgresServer) -> None:
    with Database.open(postgres.new_database()) as database:
        database.write_now(creation("before"))
        postgres.stop()
        with pytest.raises(DatabaseUnavailableError):
            database.write_now(creation("while it is away"))
        with pytest.raises(DatabaseUnavailableError):
            database.read_now(count)
        postgres.start()
        database.write_now(creation("after"))
        assert database.read_now(count) == 3


def test_a_restart_between_two_writes_is_not_noticed(postgres: PostgresServer) -> None:
    with Database.open(postgres.new_database()) as database:
        database.write_now(creation("before"))
        database.read_now(count)
        postgres.stop()
        postgres.start()
        database.write_now(creation("after"))
        assert database.read_now(count) == 3
