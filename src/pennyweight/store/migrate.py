"""The schema brought up to date at the start: nothing when it is, a refusal when it is newer than we are.

Alembic runs the revisions in one transaction, behind a gate that one process at a time passes and after a
copy of the file. It is imported only then: 90 ms that an ordinary start does not pay.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

from pennyweight.errors import ConfigError
from pennyweight.store import migrations
from pennyweight.store.failpoints import failpoint

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.engines import Engines


def migrate(engines: Engines) -> None:
    """Bring the database to `migrations.HEAD`. Raises ConfigError if it is newer."""
    with engines.gate():
        with engines.writing.begin() as connection:
            found = revision_of(connection)
        if found == migrations.HEAD:
            return
        if found is not None:
            if found not in migrations.REVISIONS:
                raise _newer(engines, found)
            engines.copy(migrations.HEAD)
        with engines.writing.begin() as connection:
            upgrade(connection)
        failpoint("database.migrated")


def revision_of(connection: Connection) -> str | None:
    """The revision of the schema; None: the database is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def upgrade(connection: Connection) -> None:
    """Run every revision the database lacks, inside the transaction of `connection`."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _newer(engines: Engines, found: str) -> ConfigError:
    place = engines.url.render_as_string(hide_password=True)
    return ConfigError(
        f"the database {place} has schema {found}, which is newer than this program's ({migrations.HEAD}); "
        "update pennyweight, or give another --data"
    )
