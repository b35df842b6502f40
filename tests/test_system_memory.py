"""Limits of containers are found on every level of their groups, of both versions."""

from __future__ import annotations

from mmap import mmap
from typing import TYPE_CHECKING

import pytest

from pennyweight.system_memory import available_memory, container_memory, resident_memory

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def group(folder: Path, **files: object) -> None:
    """Write `files`; an underscore between two words of a name stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("memory_", "memory.", 1)).write_text(f"{content}\n")


def left(root: Path, own: str) -> list[int]:
    listed = root.parent / "own"
    listed.write_text(own)
    return container_memory(root, listed)


def test_nested_groups_of_version_2(tmp_path: Path) -> None:
    root = tmp_path / "groups"
    statistics = f"anon 5\ninactive_file {10 * MIB}"
    group(root / "a", memory_max=100 * MIB, memory_current=50 * MIB, memory_stat=statistics)
    group(root / "a" / "b", memory_max="max", memory_current=40 * MIB)
    group(root / "a" / "b" / "c", memory_max=70 * MIB, memory_current=40 * MIB)
    group(root / "other", memory_max=1, memory_current=1)
    assert left(root, "0::/a/b/c\n") == [60 * MIB, 30 * MIB]


def test_a_container_that_sees_itself_as_the_root(tmp_path: Path) -> None:
    group(tmp_path / "groups", memory_max=100 * MIB, memory_current=50 * MIB)
    for own in ("0::/\n", "0::/../../kubepods/pod1\n"):
        assert left(tmp_path / "groups", own) == [50 * MIB]


def test_version_1(tmp_path: Path) -> None:
    memory = tmp_path / "groups" / "memory"
    group(memory, memory_limit_in_bytes=2**63 - 4096, memory_usage_in_bytes=MIB)
    statistics = f"inactive_file 7\ntotal_inactive_file {MIB}"
    group(
        memory / "box",
        memory_limit_in_bytes=9 * MIB,
        memory_usage_in_bytes=4 * MIB,
        memory_stat=statistics,
    )
    own = "5:cpu,cpuacct:/elsewhere\n4:memory:/box\n0::/\n"
    assert min(left(tmp_path / "groups", own)) == 6 * MIB


def test_no_groups_at_all(tmp_path: Path) -> None:
    assert container_memory(tmp_path, tmp_path / "missing") == []


def test_this_machine_has_memory() -> None:
    assert available_memory() > 0


def test_this_process_holds_what_it_touches() -> None:
    before = resident_memory()
    with mmap(-1, 64 * MIB) as held:  # pages of the system's own: a heap may hold as many free ones
        for start in range(0, len(held), 4096):
            held[start] = 1
        assert resident_memory() - before == pytest.approx(64 * MIB, rel=0.2)
