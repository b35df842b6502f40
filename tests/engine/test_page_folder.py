"""Files of spilled pages: whole or not there, exactly what was asked for or none, and never too many."""

from __future__ import annotations

import errno
import os
import stat
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pennyweight.engine.page_file import CHECKSUM_BYTES, PageFormat
from pennyweight.engine.page_folder import PageFolder, SpillLimits
from pennyweight.engine.page_label import PageLabel, page_labels
from pennyweight.engine.page_trim import LEFT_BEHIND_S, SpilledPage, spilled_pages, trim
from pennyweight.errors import ConfigError
from tests.engine.requests import NAMESPACE, tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pennyweight.core import CacheNamespace

PAGE_BYTES = 1000
FORMAT = PageFormat(identity=b"i" * 20, page_bytes=PAGE_BYTES)
TEXT = tokens(200)


def limits(root: Path, num_pages: int = 100) -> SpillLimits:
    return SpillLimits(root=root, limit_bytes=num_pages * FORMAT.file_bytes(64), least_free_bytes=0)


def labels(text: list[int], namespace: CacheNamespace = NAMESPACE) -> list[PageLabel]:
    return [*page_labels(namespace, text, limit=len(text))]


def content(label: PageLabel) -> bytes:
    return label.digest * (PAGE_BYTES // 20)


def filled(root: Path, text: list[int]) -> PageFolder:
    folder = PageFolder(limits(root), FORMAT)
    for label in labels(text):
        folder.write(label, content(label))
    return folder


def files(root: Path) -> list[Path]:
    return sorted(root.rglob("*.page"))


def test_pages_are_found_again_by_another_process(tmp_path: Path) -> None:
    filled(tmp_path / "cache", TEXT)
    again = PageFolder(limits(tmp_path / "cache"), FORMAT)
    for label in labels(TEXT):
        assert again.holds(label)
        assert again.read(label) == content(label)
    assert not any(again.holds(label) for label in labels(tokens(200, salt=1)))


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX")
def test_nobody_else_reads_them(tmp_path: Path) -> None:
    filled(tmp_path / "cache", TEXT)
    for path in [tmp_path / "cache", *(tmp_path / "cache").iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(tmp_path)} == {0o600}


def test_labels_tell_texts_and_namespaces_apart() -> None:
    first, second = labels(TEXT)[:2]
    assert first.digest != second.digest
    assert labels(TEXT[64:])[0].tokens == second.tokens
    assert labels(TEXT[64:])[0].digest != second.digest, "what stands before counts"
    for other in ({"project": "theirs"}, {"kv_format": "int4"}, {"model": "other"}, {"adapter": "a"}):
        namespace = replace(NAMESPACE, **other)
        assert {label.digest for label in labels(TEXT)}.isdisjoint(x.digest for x in labels(TEXT, namespace))


def test_positions_given_as_vectors_have_no_label() -> None:
    image = [*TEXT[:70], -(2**200), *TEXT[71:]]
    assert [*page_labels(NAMESPACE, image, limit=200)] == labels(TEXT)[:1]


def test_a_page_that_starts_alike_is_found_by_its_tokens(tmp_path: Path) -> None:
    folder = filled(tmp_path, TEXT)
    other = [*TEXT[:64], *tokens(64, salt=3)]
    folder.write(labels(other)[1], content(labels(other)[1]))
    before = labels(TEXT)[0]
    found = folder.read_longest(before, [*TEXT[64:100], 1, 2, 3])
    assert found is not None
    assert found[0] == labels(TEXT)[1]
    assert found[1] == content(found[0])
    assert folder.read_longest(before, [*TEXT[64:68], *tokens(60, salt=9)]) is None, "too little in common"
    assert folder.read_longest(labels(TEXT)[-1], TEXT) is None


def changed(at: int) -> Callable[[bytes], bytes]:
    return lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "magic": changed(0),
    "version": changed(7),
    "identity": changed(8),
    "namespace": changed(28),
    "before": changed(48),
    "number of tokens": changed(68),
    "size": changed(72),
    "token": changed(80),
    "page": changed(80 + 4 * 64 + 500),
    "checksum": changed(-CHECKSUM_BYTES % FORMAT.file_bytes(64)),
    "other text": lambda _: b"".join(FORMAT.encode(labels(tokens(64, salt=2))[0], b"x" * PAGE_BYTES)),
    "other model": lambda data: b"".join(
        replace(FORMAT, identity=b"j" * 20).encode(labels(TEXT)[0], data[-PAGE_BYTES - 16 : -16])
    ),
    "many tokens": lambda data: data[:68] + b"\xff\xff\xff\xff" + data[72:],
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_file_is_none_and_goes(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    first = labels(TEXT[:64])[0]
    folder = filled(tmp_path, TEXT[:64])
    (path,) = files(tmp_path)
    path.write_bytes(spoil(path.read_bytes()))
    assert folder.holds(first), "only names are known before it is read"
    assert folder.read(first) is None
    assert not path.exists()
    assert not folder.holds(first)


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT)
def test_a_spoilt_file_is_no_continuation_either(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    folder = filled(tmp_path, TEXT[:128])
    first, second = labels(TEXT[:128])
    path = next(path for path in files(tmp_path) if second.digest.hex() in path.name)
    path.write_bytes(spoil(path.read_bytes()))
    assert folder.read_longest(first, TEXT[64:100]) is None
    assert not path.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="such files are POSIX")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_plain_file_is_not_read(tmp_path: Path, kind: str) -> None:
    folder = filled(tmp_path / "cache", TEXT[:64])
    (path,) = files(tmp_path)
    data = path.read_bytes()
    path.unlink()
    if kind == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    assert folder.read(labels(TEXT[:64])[0]) is None
    assert folder.read_longest(labels(TEXT)[0], TEXT) is None


def test_a_half_written_file_is_nothing_and_goes_in_time(tmp_path: Path) -> None:
    folder = filled(tmp_path, TEXT[:64])
    (path,) = files(tmp_path)
    fresh, stale = path.with_name(f"{1:032x}.part"), path.with_name(f"{2:032x}.part")
    fresh.write_bytes(b"half")
    stale.write_bytes(b"half")
    long_ago = time.time() - LEFT_BEHIND_S - 60
    os.utime(stale, (long_ago, long_ago))
    again = PageFolder(limits(tmp_path), FORMAT)
    assert again.holds(labels(TEXT)[0])
    assert (fresh.exists(), stale.exists()) == (True, False), "another process may be writing the first"
    assert folder.read(labels(TEXT)[0]) is not None


def test_the_folder_may_be_removed_at_any_time(tmp_path: Path) -> None:
    folder = filled(tmp_path / "cache", TEXT)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.unlink()
    for path in (tmp_path / "cache").iterdir():
        path.rmdir()
    (tmp_path / "cache").rmdir()
    assert [folder.read(label) for label in labels(TEXT)] == [None] * 4
    first = labels(TEXT)[0]
    folder.write(first, content(first))
    assert folder.read(first) == content(first)


def page(parent: bytes, digest: bytes, used_ns: int, root: Path) -> SpilledPage:
    path = root / f"pages-x/{parent.hex()}-{digest.hex()}.page"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"0" * 100)
    os.utime(path, ns=(used_ns, used_ns))
    return SpilledPage(path=path, parent=parent, digest=digest, num_bytes=100, used_ns=used_ns)


def test_the_end_of_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    names = [bytes([number]) * 20 for number in range(8)]
    root, old, hot = names[0], names[1:4], names[4:7]
    second = 10**9
    chain = [root, *old]
    for place, (parent, digest) in enumerate(zip(chain, old, strict=False)):
        page(parent, digest, (10 - place) * second, tmp_path)  # the first page was used last
    chain = [root, *hot]
    for parent, digest, used_s in zip(chain, hot, (1, 1, 20), strict=False):
        page(parent, digest, used_s * second, tmp_path)
    page(names[7], names[7], 99 * second, tmp_path)  # behind itself: nobody's
    left = [7, 6, 5, 4, 3, 2, 1, 0]
    gone = [names[7], old[2], old[1], old[0], hot[2], hot[1], hot[0]]
    for number, digest in zip(left, gone, strict=False):
        there = {found.digest for found in spilled_pages(tmp_path / "pages-x")}
        assert len(there) == number
        assert digest in there
        assert trim(tmp_path, limit_bytes=100 * number - 1) <= 100 * (number - 1)
        assert digest not in {found.digest for found in spilled_pages(tmp_path / "pages-x")}


def test_all_models_together_keep_to_the_limit(tmp_path: Path) -> None:
    other = replace(FORMAT, identity=b"k" * 20)
    folders = [PageFolder(limits(tmp_path, 20), form) for form in (FORMAT, other)]
    for salt in range(60):
        for folder in folders:
            label = labels(tokens(64, salt=salt))[0]
            folder.write(label, content(label))
    total = sum(path.stat().st_size for path in files(tmp_path))
    assert total <= limits(tmp_path, 20).limit_bytes * 5 // 4, "a folder looks after each 16th"
    newest = labels(tokens(64, salt=59))[0]
    assert all(folder.read(newest) == content(newest) for folder in folders)


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    full = replace(limits(tmp_path), least_free_bytes=2**62)
    folder = PageFolder(full, FORMAT)
    with pytest.raises(OSError, match="MiB are free") as caught:
        folder.write(labels(TEXT)[0], content(labels(TEXT)[0]))
    assert caught.value.errno == errno.ENOSPC
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = PageFolder(limits(tmp_path), FORMAT)

    def failing(_: int) -> None:
        raise OSError(errno.EIO, "no sync")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="no sync"):
        folder.write(labels(TEXT)[0], content(labels(TEXT)[0]))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="--prefix-cache-dir"):
        PageFolder(limits(tmp_path / "file"), FORMAT)
    with pytest.raises(ConfigError, match="prefix_cache_size is 1 bytes"):
        PageFolder(replace(limits(tmp_path), limit_bytes=1), FORMAT)
