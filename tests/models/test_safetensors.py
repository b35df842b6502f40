"""Safetensors files, sound and hostile."""

from __future__ import annotations

import json
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.errors import ModelFileError
from pennyweight.models.safetensors import SafetensorsFile
from tests.models.tiny_encoder import safetensors_bytes

if TYPE_CHECKING:
    from pathlib import Path

SOUND = safetensors_bytes({"a": ("F32", (2, 2), bytes(range(16))), "b": ("I64", (1,), bytes(8))})


def _file(path: Path, header: Any, body: bytes = b"") -> Path:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + body)
    return path


def test_tensors_are_read_where_they_lie(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(SOUND)
    with SafetensorsFile.open(path) as file:
        assert {name: (t.type, t.shape) for name, t in file.tensors.items()} == {
            "a": ("F32", (2, 2)),
            "b": ("I64", (1,)),
        }
        assert file.read("a") == bytes(range(16))
        with pytest.raises(ModelFileError, match="no tensor 'c'"):
            file.read("c")
    file.close()


@pytest.mark.parametrize(
    ("header", "body", "saying"),
    [
        (b"{", b"", "not JSON"),
        (b"[" * 100_000, b"", "not JSON"),
        ([], b"", "not a JSON object"),
        ({"a": 1}, b"", "not an object"),
        ({"a": {"dtype": "F31", "shape": [1], "data_offsets": [0, 4]}}, bytes(4), "unknown type 'F31'"),
        ({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4), "malformed"),
        ({"a": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, bytes(4), "malformed"),
        ({"a": {"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]}}, bytes(4), "malformed"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, bytes(4), "malformed"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, bytes(4), "its shape"),
        ({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, bytes(4), "its shape"),
        ({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4), "truncated"),
        (
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
             "b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}},
            bytes(8),
            "overlap",
        ),
    ],
)  # fmt: skip
def test_a_wrong_header_is_refused(tmp_path: Path, header: Any, body: bytes, saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        SafetensorsFile.open(_file(tmp_path / "model.safetensors", header, body))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "short"
    short.write_bytes(b"abc")
    huge = tmp_path / "huge"
    huge.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    os.mkfifo(tmp_path / "pipe")
    for name, saying in (
        ("short", "not a safetensors file"),
        ("huge", "does not fit"),
        ("pipe", "not a regular file"),
        ("absent", "cannot be opened"),
    ):
        with pytest.raises(ModelFileError, match=saying):
            SafetensorsFile.open(tmp_path / name)


def test_a_file_truncated_after_it_was_opened_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(SOUND)
    with SafetensorsFile.open(path) as file:
        os.truncate(path, len(SOUND) - 20)
        with pytest.raises(ModelFileError, match="ended inside tensor 'a'"):
            file.read("a")


@given(position=st.integers(0, len(SOUND) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, position: int, byte: int
) -> None:
    path = tmp_path_factory.mktemp("changed") / "model.safetensors"
    path.write_bytes(SOUND[:position] + bytes([byte]) + SOUND[position + 1 :])
    try:
        with SafetensorsFile.open(path) as file:
            for name in file.tensors:
                file.read(name)
    except ModelFileError:
        pass
