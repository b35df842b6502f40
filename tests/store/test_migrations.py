"""The schema: what migrations make is what the tables say; newer is refused; a copy comes first."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from pennyweight.errors import ConfigError
from pennyweight.store import migrations
from pennyweight.store.database import Database
from pennyweight.store.tables import metadata

if TYPE_CHECKING:
    from tests.store.postgres_server import PostgresServer


def test_migrations_make_what_the_tables_say(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    options = {
        "compare_type": True,
        "compare_server_default": True,
        # The text index is made of what SQLAlchemy has no words for.
        "include_name": lambda name, *_: not str(name).startswith("chunk_index"),
    }
    with database._engines.writing.connect() as connection:
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []


def test_the_list_of_revisions_is_alembics() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == migrations.REVISIONS


def test_a_newer_schema_is_refused(database_url: str) -> None:
    with Database.open(database_url) as database:
        database.write_now(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(ConfigError, match=r"schema 9999, which is newer .*update pennyweight"):
        Database.open(database_url)


def test_the_file_is_copied_before_it_is_changed(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older schema: the newest revision is known, but not yet applied."""
    from pennyweight.store import migrate

    applied = []
    monkeypatch.setattr(migrations, "HEAD", "9998")
    monkeypatch.setattr(migrations, "REVISIONS", (*migrations.REVISIONS, "9998"))
    monkeypatch.setattr(migrate, "upgrade", applied.append)
    Database.open(sqlite_url).close()
    assert len(applied) == 1
    copy = tmp_path / "pennyweight.db.before-9998"
    assert copy.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT id FROM projects").fetchall() == [("default",)]
    assert not list(tmp_path.glob("*.incoming"))


_OPEN = "import sys; from pennyweight.store.database import Database; Database.open(sys.argv[1]).close()"


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_start_at_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}"
    if kind == "postgresql":
        postgres: PostgresServer = request.getfixturevalue("postgres")
        url = postgres.new_database(migrated=False)
    starts = [
        subprocess.Popen([sys.executable, "-c", _OPEN, url], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [start.communicate(timeout=60)[1] for start in starts]
    assert [start.returncode for start in starts] == [0] * 4, errors


def test_alembic_is_not_imported_by_an_ordinary_start(sqlite_url: str) -> None:
    program = f"{_OPEN}; assert 'alembic' not in sys.modules"
    subprocess.run([sys.executable, "-c", program, sqlite_url], check=True)
