"""PostgreSQL as the store uses it: psycopg 3, the writer at isolation SERIALIZABLE, readers at one snapshot.

An advisory lock takes the place of SQLite's lock file. Copies before a migration are the operator's
(`pg_dump`): a program that is given a URL cannot know where there is room for one.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, func, select

from pennyweight.errors import ConfigError
from pennyweight.store.engines import Engines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine

_LOCK = 0x70656E6E79  # "penny"
_CONNECT_ARGS = {
    "connect_timeout": 10,  # s
    "keepalives_idle": 30,  # s
    "tcp_user_timeout": 30_000,  # ms without an acknowledgement: a cut line is an error, not a wait
}


def postgres_engines(url: URL) -> Engines:
    """Connections to the database `url` names. Raises ConfigError without the driver."""
    url = url.set(drivername="postgresql+psycopg")
    try:
        writing = create_engine(
            url, isolation_level="SERIALIZABLE", pool_size=1, max_overflow=2, connect_args=_CONNECT_ARGS
        )
        reading = create_engine(
            url,
            isolation_level="REPEATABLE READ",
            pool_size=4,
            max_overflow=28,
            pool_pre_ping=True,  # a connection may have been cut while nobody used it
            connect_args=_CONNECT_ARGS,
        )
    except ModuleNotFoundError as error:
        raise ConfigError(
            "PostgreSQL needs a driver that is not installed; pip install 'pennyweight[postgres]'"
        ) from error
    return Engines(
        url=url,
        writing=writing,
        reading=reading.execution_options(postgresql_readonly=True),
        gate=partial(_gate, writing),
        copy=_leave_to_operator,
    )


@contextmanager
def _gate(engine: Engine) -> Iterator[None]:
    with engine.connect() as connection, connection.begin():
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
        yield


def _leave_to_operator(_revision: str) -> None:
    """See the module's docstring."""
