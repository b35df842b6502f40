"""The journal after whatever may have happened to the process that wrote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import ConfigError
from pennyweight.jobs.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

LINES = [b'{"id":"%d","text":"\xc3\xa9"}\n' % number for number in range(4)]


def written(path: Path) -> bytes:
    with Journal(path, digest="d") as journal:
        for number, line in enumerate(LINES):
            journal.add(number, line, succeeded=number % 2 == 0)
    return path.read_bytes()


def test_results_are_found_again(tmp_path: Path) -> None:
    written(tmp_path / "j")
    with Journal(tmp_path / "j", digest="d") as journal:
        assert [journal.line(number) for number in range(4)] == LINES
        assert [journal.done[number].succeeded for number in range(4)] == [True, False, True, False]
        journal.add(9, LINES[0], succeeded=True)
        assert journal.line(9) == LINES[0]
        assert journal.line(2) == LINES[2]


def test_cut_off_anywhere_it_holds_what_was_whole(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    ends = [len(whole) - sum(len(f"{n} + ") + len(LINES[n]) for n in range(first, 4)) for first in range(5)]
    for cut in range(len(whole)):
        path = tmp_path / "cut"
        path.write_bytes(whole[:cut])
        with Journal(path, digest="d") as journal:
            assert len(journal.done) == sum(end <= cut for end in ends[1:])
            for number, line in enumerate(LINES):
                if number not in journal.done:
                    journal.add(number, line, succeeded=number % 2 == 0)
        assert path.read_bytes() == whole


def test_blocks_of_zeros_after_a_power_cut_are_no_results(tmp_path: Path) -> None:
    whole = written(tmp_path / "j")
    (tmp_path / "j").write_bytes(whole[:-10] + bytes(4096))
    with Journal(tmp_path / "j", digest="d") as journal:
        assert sorted(journal.done) == [0, 1, 2]


def test_another_input_is_refused(tmp_path: Path) -> None:
    whole = written(tmp_path / "j")
    with pytest.raises(ConfigError, match="another input"):
        Journal(tmp_path / "j", digest="e")
    assert (tmp_path / "j").read_bytes() == whole


def test_two_processes_do_not_write_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", digest="d"), pytest.raises(ConfigError, match="another process"):
        Journal(tmp_path / "j", digest="d")
