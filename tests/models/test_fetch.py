"""`pull`, whatever the source: all or nothing, also when killed, crowded or short of space."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from pennyweight.errors import FetchError
from pennyweight.models.cache import models_folder, work_folder
from pennyweight.models.catalog import CatalogEntry, LocalPath
from pennyweight.models.fetch import is_intact, pull
from tests.models.fake_index import entry_for

DATA = random.Random(3).randbytes(500_000)


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CatalogEntry:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "original").write_bytes(DATA)
    return entry_for(DATA, LocalPath(path=str(tmp_path / "original")))


def contents() -> list[str]:
    """What is in the models folder, the lock file apart."""
    return sorted(path.name for path in models_folder().iterdir() if path.name != ".lock")


def test_a_file_that_is_there_is_checked_not_fetched(entry: CatalogEntry, tmp_path: Path) -> None:
    target = pull(entry)
    assert target == models_folder() / "tiny.gguf"
    assert is_intact(target, entry)
    (tmp_path / "original").unlink()
    assert pull(entry) == target


def test_a_damaged_file_is_replaced(entry: CatalogEntry) -> None:
    target = pull(entry)
    for damaged in (DATA[:-1], DATA[:-1] + b"x"):
        target.write_bytes(damaged)
        assert not is_intact(target, entry)
        assert pull(entry).read_bytes() == DATA


def test_a_failure_keeps_what_was_there(entry: CatalogEntry, tmp_path: Path) -> None:
    target = pull(entry)
    target.write_bytes(b"an older version")
    (tmp_path / "original").write_bytes(b"not the model")
    with pytest.raises(FetchError, match="13 bytes instead of 500000"):
        pull(entry)
    assert target.read_bytes() == b"an older version"
    assert contents() == ["tiny.gguf"]


def test_concurrent_pulls_all_succeed(entry: CatalogEntry) -> None:
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(pull(entry))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in paths] == [DATA] * 8
    assert contents() == ["tiny.gguf"]


def test_a_work_folder_that_vanishes_while_leftovers_are_cleared(
    entry: CatalogEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Path.glob
    monkeypatch.setattr(Path, "glob", lambda folder, what: [*listed(folder, what), folder / ".incoming-gone"])
    assert pull(entry).read_bytes() == DATA


def test_the_work_of_a_living_pull_is_left_alone(entry: CatalogEntry) -> None:
    models_folder().mkdir(parents=True)
    with work_folder(models_folder()) as work:
        (work / "half").write_bytes(b"half")
        pull(entry)
        assert (work / "half").exists()
    assert contents() == ["tiny.gguf"]


KILLED_BEFORE_PLACING = """
    import os, signal, sys
    from pennyweight.models import receiver
    from pennyweight.models.catalog import LocalPath
    from pennyweight.models.fetch import pull
    from tests.models.fake_index import entry_for
    from tests.models.test_fetch import DATA

    receiver.Receiver.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    pull(entry_for(DATA, LocalPath(path=sys.argv[1])))
"""


def test_a_killed_pull_leaves_no_model_and_the_next_one_cleans_up(
    entry: CatalogEntry, tmp_path: Path
) -> None:
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_BEFORE_PLACING), str(tmp_path / "original")],
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])},
    )
    assert killed.returncode == -signal.SIGKILL
    (left,) = contents()
    assert left.startswith(".incoming-")
    assert (models_folder() / left / "source-0").stat().st_size > 0
    assert pull(entry).read_bytes() == DATA
    assert contents() == ["tiny.gguf"]


def test_a_lack_of_space_is_said_before_the_download(
    entry: CatalogEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match="MiB are needed"):
        pull(entry)
    assert contents() == []


def test_an_unusable_cache_is_said(
    entry: CatalogEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "original"))
    with pytest.raises(FetchError, match=r"tiny could not be stored in .*: Not a directory"):
        pull(entry)


def test_an_interruption_cleans_up(entry: CatalogEntry, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pull(entry)
    assert contents() == []
