"""What the product's writer writes is read back by our reader, value by value and type by type."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from pennyweight.models.gguf import GGUFFile
from pennyweight.models.gguf_metadata import raw_metadata
from pennyweight.models.gguf_writer import NewTensor, encode_value, file_bytes, write_gguf

if TYPE_CHECKING:
    from pathlib import Path

VALUES = {
    "small": 7,
    "large": 2**40,
    "negative": -3,
    "very negative": -(2**40),
    "no": False,
    "pi": 3.140625,
    "text": "zwölf",
    "texts": ["a", "", "ß"],
    "flags": (True, False),
    "ids": array("i", [1, -2]),
    "scores": array("f", [0.5]),
    "none": [],
}
TENSORS = (
    NewTensor(name="vector", type="F32", shape=(3,)),
    NewTensor(name="stack", type="Q4_0", shape=(2, 3, 32)),
)


def contents(tensor: NewTensor) -> list[bytes]:
    return [b"\7" * (tensor.nbytes - 5), b"\1" * 5]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "new.gguf"
    metadata = {key: encode_value(value) for key, value in VALUES.items()}
    with path.open("wb") as file:
        write_gguf(file, metadata=metadata, tensors=TENSORS, data=contents)
    with GGUFFile.open(path) as read:
        assert {key: value if key != "none" else [] for key, value in read.metadata.items()} == VALUES
        for tensor in TENSORS:
            found = read.tensors[tensor.name]
            assert (found.type, found.shape, found.nbytes) == (tensor.type, tensor.shape, tensor.nbytes)
            assert bytes(read.read(tensor.name)) == b"".join(contents(tensor))
    assert raw_metadata(path) == metadata
    assert abs(path.stat().st_size - file_bytes(metadata, TENSORS)) < 1024


def test_a_number_no_type_holds() -> None:
    with pytest.raises(ValueError, match="fits no integer type"):
        encode_value(2**64)
