"""`pull` over HTTP, from a server on this machine that cuts, errs and lies."""

from __future__ import annotations

import random
import socket
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import FetchError
from pennyweight.models import fetch_http
from pennyweight.models.cache import models_folder
from pennyweight.models.catalog import HuggingFaceFile, LocalPath, Url
from pennyweight.models.fetch import pull
from tests.models.fake_hub import Hub, running
from tests.models.fake_hugging_face import COMMIT, HuggingFace, repository, serving
from tests.models.fake_index import entry_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATA = random.Random(1).randbytes(3_000_000)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch_http, "_PAUSE_S", 0.01)
    with running(Hub(files={"/m.gguf": DATA})) as hub:
        yield hub


def nothing_left() -> bool:
    return [path.name for path in models_folder().iterdir()] == [".lock"]


def test_a_url_becomes_the_file(hub: Hub) -> None:
    calls: list[tuple[int, int]] = []
    entry = entry_for(DATA, Url(url=f"{hub.address}/m.gguf"))
    path = pull(entry, progress=lambda done, total: calls.append((done, total)))
    assert path.read_bytes() == DATA
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1] == (len(DATA), len(DATA))
    assert hub.requests == [("/m.gguf", None)]


def test_a_hugging_face_file_comes_from_its_endpoint(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    source = HuggingFaceFile(repo="owner/repo", file="dir/a file.gguf", revision="refs/pr/1")
    files = repository({"dir/a file.gguf": DATA}, branches={"refs/pr/1": COMMIT})
    with serving(HuggingFace(repositories={"owner/repo": files})) as hugging_face:
        monkeypatch.setenv("HF_ENDPOINT", hugging_face.address + "/")
        assert pull(entry_for(DATA, source)).read_bytes() == DATA
    assert hub.requests == []


def test_a_cut_connection_is_resumed_where_it_broke(hub: Hub) -> None:
    hub.cut_after = [1_000_000, 500_000]
    assert pull(entry_for(DATA, Url(url=f"{hub.address}/m.gguf"))).read_bytes() == DATA
    assert [wanted for _, wanted in hub.requests] == [None, "bytes=1000000-", "bytes=1500000-"]


def test_a_server_without_ranges_starts_again(hub: Hub) -> None:
    hub.ranges, hub.cut_after = False, [1_000_000]
    assert pull(entry_for(DATA, Url(url=f"{hub.address}/m.gguf"))).read_bytes() == DATA
    assert len(hub.requests) == 2


def test_server_errors_are_tried_again_and_then_said(hub: Hub) -> None:
    entry = entry_for(DATA, Url(url=f"{hub.address}/m.gguf"))
    hub.statuses = [503] * 9
    with pytest.raises(FetchError, match="cannot be reached: 503"):
        pull(entry)
    assert len(hub.requests) == 4
    assert nothing_left()
    hub.statuses = [500, 502]
    assert pull(entry).read_bytes() == DATA


def test_a_connection_that_gives_nothing_ends(hub: Hub) -> None:
    hub.cut_after = [0] * 99
    with pytest.raises(FetchError, match="closed early"):
        pull(entry_for(DATA, Url(url=f"{hub.address}/m.gguf")))
    assert nothing_left()


def test_a_missing_file_is_said_at_once(hub: Hub) -> None:
    with pytest.raises(FetchError, match="answered 404"):
        pull(entry_for(DATA, Url(url=f"{hub.address}/other.gguf")))
    assert len(hub.requests) == 1
    assert nothing_left()


def test_other_bytes_are_refused(hub: Hub) -> None:
    entry = entry_for(DATA, Url(url=f"{hub.address}/m.gguf"))
    hub.files["/m.gguf"] = DATA[:-1] + bytes([DATA[-1] ^ 1])
    with pytest.raises(FetchError, match="SHA-256"):
        pull(entry)
    for wrong in (DATA[:-1], DATA + b"x"):
        hub.files["/m.gguf"] = wrong
        with pytest.raises(FetchError, match=rf"sends {len(wrong)} bytes instead of {len(DATA)}"):
            pull(entry)
    assert nothing_left()


def test_no_network_is_one_clear_sentence(hub: Hub) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/m.gguf"
        with pytest.raises(FetchError) as failure:
            pull(entry_for(DATA, Url(url=url)))
    assert "Connection refused" in failure.value.message
    assert f"copy the file yourself to {models_folder() / 'tiny.gguf'}" in failure.value.message
    assert "\n" not in failure.value.message
    assert hub.requests == []


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/m", "m.gguf"])
def test_only_http_addresses_are_opened(hub: Hub, url: str) -> None:
    with pytest.raises(FetchError, match="not an http or https address"):
        pull(entry_for(DATA, Url(url=url)))
    assert hub.requests == []


def test_a_local_file_is_copied(hub: Hub, tmp_path: Path) -> None:
    original = tmp_path / "original.gguf"
    source = LocalPath(path=str(original))
    with pytest.raises(FetchError, match=r"original\.gguf cannot be opened: No such file"):
        pull(entry_for(DATA, source))
    original.write_bytes(DATA)
    assert pull(entry_for(DATA, source, Url(url=hub.address))).read_bytes() == DATA
    assert original.exists()
    assert hub.requests == []
