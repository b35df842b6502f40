"""The GGUF reader on sound files: what was written is read, by us and by the format's own package."""

from __future__ import annotations

import gzip
import os
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.errors import ModelFileError
from pennyweight.models.gguf import GGUFFile, model_stem, shard_paths
from tests.models.gguf_writer import RawTensor, Typed, gguf_bytes, write_gguf, write_split_gguf
from tests.models.tiny import gemma_shape, tiny_metadata, tiny_tensors

if TYPE_CHECKING:
    from pathlib import Path

VALUES = {
    "u8": 255,
    "i8": -128,
    "u16": 65535,
    "i16": -32768,
    "u32": 4294967295,
    "i32": -2147483648,
    "f32": 0.15625,
    "bool": True,
    "u64": 18446744073709551615,
    "i64": -9223372036854775808,
    "f64": 1e300,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("alignment", [1, 8, 32, 4096])
def test_metadata_and_tensors_come_back(path: Path, version: int, alignment: int) -> None:
    metadata: dict[str, Any] = {kind: Typed(kind, value) for kind, value in VALUES.items()}
    metadata |= {f"{kind}s": Typed(kind, [value, value, value]) for kind, value in VALUES.items()}
    metadata |= {
        "text": "naïve ▁ 🦆",
        "texts": ["", "a", "🦆", "x" * 5000],
        "none": [],
        "empty": Typed("u32", []),
    }
    data = {name: RawTensor("F32", (3,), os.urandom(12)) for name in ("first", "second")}
    path.write_bytes(gguf_bytes(metadata, data, version=version, alignment=alignment))
    with GGUFFile.open(path) as file:
        for kind, value in VALUES.items():
            assert file.metadata[kind] == value
            assert list(file.metadata[f"{kind}s"]) == [value] * 3
        assert file.metadata["text"] == "naïve ▁ 🦆"
        assert file.metadata["texts"] == ["", "a", "🦆", "x" * 5000]
        assert file.metadata["none"] == []
        assert file.metadata["empty"] == array("I")
        assert {name: bytes(file.read(name)) for name in file.tensors} == {
            name: tensor.data for name, tensor in data.items()
        }


@pytest.mark.parametrize("count", [2, 3, 7])
def test_a_split_model_is_one_model(tmp_path: Path, count: int) -> None:
    metadata, tensors = tiny_metadata(gemma_shape()), tiny_tensors(gemma_shape())
    first = write_split_gguf(tmp_path, "big", metadata, tensors, count=count)
    with GGUFFile.open(first) as file:
        assert {tensor.file for tensor in file.tensors.values()} == set(range(count))
        assert {name: bytes(file.read(name)) for name in file.tensors} == {
            name: tensor.data for name, tensor in tensors.items()
        }
        assert len(file.header_digests) == count
    assert model_stem(first) == "big"
    assert [path.exists() for path in shard_paths(first)] == [True] * count


def test_a_split_model_opens_by_its_first_file_only(tmp_path: Path) -> None:
    first = write_split_gguf(tmp_path, "big", {}, {"a": f32(1.0), "b": f32(2.0)}, count=2)
    second = shard_paths(first)[1]
    with pytest.raises(ModelFileError, match=r"not the first file.*big-00001-of-00002\.gguf"):
        GGUFFile.open(second)
    first.rename(tmp_path / "renamed.gguf")
    with pytest.raises(ModelFileError, match="names must end in"):
        GGUFFile.open(tmp_path / "renamed.gguf")


def test_a_missing_or_foreign_shard_is_refused(tmp_path: Path) -> None:
    first = write_split_gguf(tmp_path, "big", {}, {"a": f32(1.0), "b": f32(2.0), "c": f32(3.0)}, count=3)
    second, third = shard_paths(first)[1:]
    good = second.read_bytes()
    second.write_bytes(third.read_bytes())
    with pytest.raises(ModelFileError, match="says it is file 2 of 3; expected file 1 of 3"):
        GGUFFile.open(first)
    second.write_bytes(good.replace(b"\1\0\0\0\0\0\0\0b", b"\1\0\0\0\0\0\0\0a"))
    with pytest.raises(ModelFileError, match="two of its files have a tensor 'a'"):
        GGUFFile.open(first)
    second.unlink()
    with pytest.raises(ModelFileError, match="No such file"):
        GGUFFile.open(first)


def test_an_unreadable_type_is_refused_by_name_when_read(path: Path) -> None:
    write_gguf(path, {}, {"odd": RawTensor("Q8_K", (256,), bytes(292)), "fine": f32(1.0)})
    with GGUFFile.open(path) as file:
        assert len(file.read("fine")) == 4
        with pytest.raises(ModelFileError, match=r"'odd' has the type Q8_K; this engine reads F32, .*Q6_K"):
            file.read("odd")


def test_a_file_truncated_after_opening_is_an_error(path: Path) -> None:
    write_gguf(path, {}, {"a": RawTensor("F32", (1000,), bytes(4000))})
    with GGUFFile.open(path) as file:
        os.truncate(path, path.stat().st_size - 100)
        with pytest.raises(ModelFileError, match="ended inside tensor 'a'"):
            file.read("a")


def test_closing_closes_every_file_once(tmp_path: Path) -> None:
    first = write_split_gguf(tmp_path, "big", {}, {"a": f32(1.0), "b": f32(2.0)}, count=2)
    before = len(os.listdir("/proc/self/fd"))
    file = GGUFFile.open(first)
    assert len(os.listdir("/proc/self/fd")) == before + 2
    file.close()
    file.close()
    assert len(os.listdir("/proc/self/fd")) == before
    shard_paths(first)[1].unlink()
    with pytest.raises(ModelFileError):
        GGUFFile.open(first)
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_collected_vocabularies_open(tmp_path: Path, shared_data: Path) -> None:
    archives = sorted((shared_data / "tokenizers").glob("*.gguf.gz"))
    assert len(archives) == 12
    for archive in archives:
        path = tmp_path / archive.stem
        path.write_bytes(gzip.decompress(archive.read_bytes()))
        with GGUFFile.open(path) as file:
            tokens = file.metadata["tokenizer.ggml.tokens"]
            assert len(tokens) == len(file.metadata["tokenizer.ggml.token_type"]) > 30_000
            assert all(isinstance(token, str) for token in tokens)


def f32(value: float) -> RawTensor:
    return RawTensor("F32", (1,), np.float32(value).tobytes())
