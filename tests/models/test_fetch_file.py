"""Models behind URLs and elsewhere on this machine."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import FetchError
from pennyweight.models import fetch_http
from pennyweight.models.cache import models_folder, resumable_folder
from pennyweight.models.delivery import deliver
from pennyweight.models.fetch_file import path_order, url_order
from pennyweight.models.pulled import read_pulled
from tests.models.fake_hub import Hub, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = b"GGUF" + random.Random(7).randbytes(2_000_000)
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch_http, "_PAUSE_S", 0.01)
    files = {"/m.gguf": DATA, "/page.gguf": b"<!DOCTYPE html>" * 9, "/empty.gguf": b""}
    with running(Hub(files=files, etags={"/m.gguf": '"v1"'})) as hub:
        yield hub


def fetch(url: str, *, name: str | None = None, sha256: str | None = None, replace: bool = False) -> Path:
    return deliver(url_order(url, name=name, sha256=sha256), replace=replace)


def contents() -> list[str]:
    return sorted(path.name for path in models_folder().iterdir() if path.name[0] != ".")


def test_a_url_becomes_a_model_once(hub: Hub) -> None:
    path = fetch(f"{hub.address}/m.gguf")
    assert path == models_folder() / "m.gguf"
    assert path.read_bytes() == DATA
    requests = len(hub.requests)
    assert fetch(f"{hub.address}/m.gguf") == path
    assert len(hub.requests) == requests + 1, "asked, not fetched"


def test_a_key_in_a_query_is_not_written_down(hub: Hub) -> None:
    hub.files["/m.gguf?key=secret"] = DATA
    fetch(f"{hub.address}/m.gguf?key=secret")
    known = read_pulled("m")
    assert known is not None
    assert known.source == f"{hub.address}/m.gguf"
    everything = (models_folder() / ".pulled" / "m.json").read_text()
    assert "secret" not in everything


def test_what_a_file_must_be(hub: Hub) -> None:
    assert fetch(f"{hub.address}/m.gguf", name="right", sha256=DIGEST).name == "right.gguf"
    with pytest.raises(FetchError, match=f"its SHA-256 is {DIGEST} instead of 0000"):
        fetch(f"{hub.address}/m.gguf", name="wrong", sha256="0" * 64)
    assert contents() == ["right.gguf"]


def test_another_version_asks_before_it_replaces(hub: Hub) -> None:
    fetch(f"{hub.address}/m.gguf")
    hub.files["/m.gguf"], hub.etags["/m.gguf"] = DATA + b"more", '"v2"'
    with pytest.raises(FetchError, match="--replace takes"):
        fetch(f"{hub.address}/m.gguf")
    assert fetch(f"{hub.address}/m.gguf", replace=True).read_bytes() == DATA + b"more"


@pytest.mark.parametrize("changed", [False, True])
def test_an_interrupted_command_goes_on_with_the_same_version_alone(hub: Hub, changed: bool) -> None:
    order = url_order(f"{hub.address}/m.gguf", name=None, sha256=None)
    hub.cut_after = [700_000, 0, 0, 0, 0]
    with pytest.raises(FetchError, match="the same command goes on from there"):
        deliver(order)
    if changed:
        hub.files["/m.gguf"], hub.etags["/m.gguf"] = DATA[:-1] + b"x", '"v2"'
    hub.requests.clear()
    path = deliver(order)
    assert hub.requests == [("/m.gguf", "bytes=700000-")]
    assert path.read_bytes() == hub.files["/m.gguf"]


def test_without_a_version_everything_comes_again(hub: Hub) -> None:
    hub.etags.clear()
    order = url_order(f"{hub.address}/m.gguf", name=None, sha256=None)
    hub.cut_after = [700_000, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        deliver(order)
    hub.requests.clear()
    assert deliver(order).read_bytes() == DATA
    assert hub.requests == [("/m.gguf", None)]


def test_a_split_model_comes_whole(hub: Hub) -> None:
    for number in (1, 2):
        hub.files[f"/b/big-0000{number}-of-00002.gguf"] = DATA[: 1000 * number]
    hub.files["/b/big-00002-of-00002.gguf"] = b"GGUF2"
    fetch(f"{hub.address}/b/big-00001-of-00002.gguf")
    assert contents() == ["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"]
    with pytest.raises(FetchError, match=r"give the address of big-00001-of-00002\.gguf"):
        fetch(f"{hub.address}/b/big-00002-of-00002.gguf")
    with pytest.raises(FetchError, match="--sha256 is of one file, and this model has 2"):
        fetch(f"{hub.address}/b/big-00001-of-00002.gguf", sha256=DIGEST)


@pytest.mark.parametrize(
    ("path", "saying"),
    [
        ("/page.gguf", "is no GGUF file: it begins with b'<!DOCTYPE html><'"),
        ("/empty.gguf", "is no GGUF file: it begins with b''"),
        ("/absent.gguf", "answered 404"),
        ("/model.zip", "is not the address of a GGUF file"),
    ],
)
def test_what_is_no_model(hub: Hub, path: str, saying: str) -> None:
    with pytest.raises(FetchError) as failure:
        fetch(hub.address + path)
    assert saying in failure.value.message
    assert not models_folder().exists() or contents() == []


def test_a_fetch_under_way_is_not_disturbed(hub: Hub) -> None:
    order = url_order(f"{hub.address}/m.gguf", name=None, sha256=None)
    with (
        resumable_folder(models_folder(), order.key),
        pytest.raises(FetchError, match="is just being fetched by another process"),
    ):
        deliver(order)


def test_a_local_file_is_copied_with_its_parts(hub: Hub, tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"own-0000{number}-of-00002.gguf").write_bytes(DATA[: 100 * number])
    path = deliver(path_order(tmp_path / "own-00001-of-00002.gguf", name="mine", sha256=None))
    assert contents() == ["mine-00001-of-00002.gguf", "mine-00002-of-00002.gguf"]
    assert path.read_bytes() == DATA[:100]
    (tmp_path / "own-00002-of-00002.gguf").unlink()
    with pytest.raises(FetchError, match=r"own-00002-of-00002\.gguf cannot be read: No such file"):
        path_order(tmp_path / "own-00001-of-00002.gguf", name=None, sha256=None)
    assert hub.requests == []


def test_a_local_folder_is_copied_without_pickles(hub: Hub, tmp_path: Path) -> None:
    folder = tmp_path / "Folder"
    (folder / ".git").mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "code.py", ".git/a.json"):
        (folder / name).write_bytes(b"{}")
    path = deliver(path_order(folder, name=None, sha256=None))
    assert path == models_folder() / "Folder" / "model.safetensors"
    assert sorted(file.name for file in path.parent.rglob("*")) == ["config.json", "model.safetensors"]
    with pytest.raises(FetchError, match=r"has no model\.safetensors with a config\.json"):
        path_order(tmp_path, name=None, sha256=None)
    with pytest.raises(FetchError, match="neither a GGUF file nor a folder"):
        path_order(folder / "code.py", name=None, sha256=None)
    assert hub.requests == []


def test_partial_downloads_nobody_came_for_are_cleared(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    order = url_order(f"{hub.address}/m.gguf", name=None, sha256=None)
    hub.cut_after = [700_000, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        deliver(order)
    assert len(list(models_folder().glob(".partial-*"))) == 1
    monkeypatch.setattr("pennyweight.models.cache._KEPT_S", -1)
    hub.files["/n.gguf"] = DATA
    fetch(f"{hub.address}/n.gguf")
    assert list(models_folder().glob(".partial-*")) == []
