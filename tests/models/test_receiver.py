"""A file on its way in is believed only when every byte is right."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING

import pytest

from pennyweight.errors import FetchError
from pennyweight.models.receiver import CHUNK_BYTES, Receiver

if TYPE_CHECKING:
    from pathlib import Path

DATA = bytes(range(256)) * 20


def receiver(folder: Path) -> Receiver:
    return Receiver(folder / "file", size=len(DATA), sha256=hashlib.sha256(DATA).hexdigest())


def test_the_right_bytes_are_kept(tmp_path: Path) -> None:
    with receiver(tmp_path) as incoming:
        incoming.write(DATA[:100])
        incoming.copy(io.BytesIO(DATA[100:]))
        incoming.finish()
        assert incoming.path.read_bytes() == DATA


def test_starting_again_forgets(tmp_path: Path) -> None:
    with receiver(tmp_path) as incoming:
        incoming.write(b"something else")
        incoming.restart()
        incoming.write(DATA)
        incoming.finish()
        assert incoming.path.read_bytes() == DATA


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (DATA[:-1], "it has 5119 bytes instead of 5120"),
        (b"", "it has 0 bytes"),
        (DATA[:-1] + b"x", "its SHA-256 is"),
        (DATA + b"x", "larger than the 5120 bytes"),
    ],
    ids=["short", "empty", "other", "long"],
)
def test_wrong_bytes_are_refused(tmp_path: Path, data: bytes, saying: str) -> None:
    with receiver(tmp_path) as incoming, pytest.raises(FetchError, match=saying):
        take(incoming, io.BytesIO(data))


def take(incoming: Receiver, source: io.BytesIO) -> None:
    incoming.copy(source)
    incoming.finish()


def test_a_bomb_is_refused_after_its_first_piece(tmp_path: Path) -> None:
    class Bomb(io.RawIOBase):
        pieces = 0

        def read(self, size: int = -1) -> bytes:
            self.pieces += 1
            return bytes(size)

    bomb = Bomb()
    with pytest.raises(FetchError, match="larger"), receiver(tmp_path) as incoming:
        incoming.copy(bomb)  # type: ignore[arg-type]
    assert bomb.pieces == 1
    assert (tmp_path / "file").stat().st_size < CHUNK_BYTES
