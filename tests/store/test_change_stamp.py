"""The stamp changes with every commit of whomever, and with nothing else."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from pennyweight.store.change_stamp import ChangeStamp
from pennyweight.store.database import Database
from pennyweight.store.projects import Projects

if TYPE_CHECKING:
    from pathlib import Path


def test_every_commit_is_seen(sqlite_url: str) -> None:
    url = make_url(sqlite_url)
    with Database.open(sqlite_url) as database, closing(ChangeStamp(url)) as stamp:
        before = stamp.now()
        database.read_now(lambda link: Projects().get(link, "default"))
        assert stamp.now() == before, "reading changes nothing"
        database.write_now(lambda link: Projects().create(link, name="own", now=1))
        own = stamp.now()
        assert own != before
        program = (
            "import sqlite3, sys; link = sqlite3.connect(sys.argv[1]);"
            "link.execute(\"update projects set name = 'x'\"); link.commit()"
        )
        assert url.database is not None
        subprocess.run([sys.executable, "-c", program, url.database], check=True)
        assert stamp.now() != own, "another process"


def test_what_is_not_committed_is_not_seen(sqlite_url: str) -> None:
    path = make_url(sqlite_url).database
    assert path is not None
    with closing(ChangeStamp(make_url(sqlite_url))) as stamp, closing(sqlite3.connect(path)) as other:
        before = stamp.now()
        other.execute("update projects set name = 'x'")
        assert stamp.now() == before
        other.rollback()
        assert stamp.now() == before


def test_of_another_kind_of_database_nothing_is_known(tmp_path: Path) -> None:
    stamp = ChangeStamp(make_url("postgresql://user@host/name"))
    assert stamp.now() is None
    stamp.close()
    assert list(tmp_path.iterdir()) == []
