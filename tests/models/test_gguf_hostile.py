"""The GGUF reader on files made to hurt: only ModelFileError may come out, soon, and in little memory."""

from __future__ import annotations

import gzip
import os
import random
import struct
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pennyweight.errors import ModelFileError
from pennyweight.models import gguf_values
from pennyweight.models.gguf import GGUFFile
from pennyweight.models.outline import described
from tests.models.gguf_writer import RawTensor, Typed, gguf_bytes
from tests.models.tiny import gemma_shape, llama_shape, tiny_metadata, tiny_tensors

if TYPE_CHECKING:
    from pathlib import Path

U64_MAX = 2**64 - 1


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile") / "model.gguf"


@pytest.fixture(scope="module")
def sound_files() -> list[bytes]:
    """Small models with every kind of value in two of them, and a file with awkward alignment."""
    numbers = {
        "many": Typed("f64", [1.0, 2.0]),
        "flags": Typed("bool", [True, False]),
        "big": Typed("i64", -1),
    }
    return [
        gguf_bytes(tiny_metadata(shape) | numbers, tiny_tensors(shape))
        for shape in (llama_shape(num_layers=1), gemma_shape(num_layers=1))
    ] + [
        gguf_bytes(numbers, {"a": RawTensor("Q8_0", (2, 32), bytes(68))}, alignment=256, version=2),
        *_scaled_files(),
    ]


def _scaled_files() -> list[bytes]:
    """A rotation scaled by keys, and one by tensors."""
    shape = llama_shape(num_layers=1)
    keys = {"type": "yarn", "factor": 4.0, "original_context_length": 64, "yarn_beta_fast": 8.0}
    yarn = {f"llama.rope.scaling.{key}": value for key, value in keys.items()}
    divisors = RawTensor("F32", (8,), struct.pack("<8f", *range(1, 9)))
    tensors = {f"rope_factors_{name}.weight": divisors for name in ("long", "short")}
    return [
        gguf_bytes(tiny_metadata(shape) | yarn, tiny_tensors(shape)),
        gguf_bytes(tiny_metadata(shape), tensors | tiny_tensors(shape)),
    ]


def open_and_use(path: Path, data: bytes) -> None:
    """Everything a caller does with a file before it trusts it."""
    path.write_bytes(data)
    with GGUFFile.open(path) as file:
        for name in file.tensors:
            file.read(name)
        described(file)


def refuse(path: Path, data: bytes, *, saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        open_and_use(path, data)


def header(*, tensors: int = 0, pairs: int = 0, rest: bytes = b"") -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, pairs) + rest


def string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def pair(code: int, value: bytes, key: bytes = b"key") -> bytes:
    return string(key) + struct.pack("<I", code) + value


def entry(name: bytes = b"t", dims: tuple[int, ...] = (32,), code: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, code, offset)


@pytest.mark.parametrize(
    ("data", "saying"),
    [
        (b"", "4 bytes are announced, but the file has only 0"),
        (b"PK\3\4" + bytes(60), r"not a GGUF file: it starts with b'PK"),
        (b"FUGG" + bytes(60), "big-endian"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "GGUF version 1; versions 2 and 3"),
        (b"GGUF" + struct.pack("<IQQ", 4, 0, 0), "GGUF version 4"),
        (header(pairs=U64_MAX), "metadata pairs cannot fit"),
        (header(tensors=U64_MAX), "tensors cannot fit"),
        (header(pairs=1, rest=struct.pack("<Q", U64_MAX) + bytes(20)), "bytes are announced"),
        (header(pairs=1, rest=pair(0, b"1", key=b"k" * 65536)), "string of at most 65535"),
        (header(tensors=1, rest=entry(b"t" * 65536)), "string of at most 65535"),
        (header(pairs=1, rest=pair(13, bytes(8))), "value type 13"),
        (header(pairs=1, rest=pair(7, b"\2")), "neither 0 nor 1"),
        (header(pairs=1, rest=pair(8, struct.pack("<Q", 2**63) + bytes(9))), "bytes are announced"),
        (header(pairs=1, rest=pair(8, string(b"\xff"))), "not UTF-8"),
        (header(pairs=1, rest=pair(8, string(b""), key=b"\xc3")), "not UTF-8"),
        (header(pairs=1, rest=pair(9, struct.pack("<IQ", 9, 1) + bytes(16))), "arrays inside arrays"),
        (header(pairs=1, rest=pair(9, struct.pack("<IQ", 99, 1) + bytes(16))), "element type 99"),
        (header(pairs=1, rest=pair(9, struct.pack("<IQ", 4, U64_MAX))), "array elements cannot fit"),
        (header(pairs=1, rest=pair(9, struct.pack("<IQ", 7, U64_MAX))), "array elements cannot fit"),
        (header(pairs=1, rest=pair(9, struct.pack("<IQ", 7, 2) + b"\1\3")), "neither 0 nor 1"),
        (header(pairs=1, rest=pair(9, struct.pack("<IQ", 8, U64_MAX))), "strings cannot fit"),
        (header(pairs=1, rest=pair(9, struct.pack("<IQQ", 8, 1, 2**62))), "bytes are announced"),
        (
            header(pairs=1, rest=pair(9, struct.pack("<IQ", 8, 2) + string(b"ok") + string(b"\x80"))),
            "string 1 of",
        ),
        (header(pairs=2, rest=pair(0, b"1") * 2), "key 'key' occurs twice"),
        (header(pairs=1, rest=pair(4, struct.pack("<I", 0), key=b"general.alignment")), "power of two"),
        (header(pairs=1, rest=pair(4, struct.pack("<I", 48), key=b"general.alignment")), "power of two"),
        (header(pairs=1, rest=pair(7, b"\1", key=b"general.alignment")), "power of two"),
        (header(tensors=1, rest=entry(dims=()) + bytes(99)), "has 0 dimensions"),
        (header(tensors=1, rest=entry(dims=(1,) * 5)), "has 5 dimensions"),
        (header(tensors=1, rest=string(b"t") + struct.pack("<I", 2**32 - 1) + bytes(99)), "dimensions"),
        (header(tensors=1, rest=entry(dims=(0,)) + bytes(999)), "impossible shape"),
        (header(tensors=1, rest=entry(dims=(U64_MAX, U64_MAX)) + bytes(999)), "impossible shape"),
        (header(tensors=1, rest=entry(dims=(2**61,)) + bytes(999)), "truncated or damaged"),
        (header(tensors=1, rest=entry(dims=(33,), code=2) + bytes(999)), "multiples of 32"),
        (header(tensors=1, rest=entry(offset=4) + bytes(999)), "not a multiple of 32"),
        (header(tensors=1, rest=entry(offset=2**64 - 32) + bytes(999)), "truncated or damaged"),
        (header(tensors=1, rest=entry(code=15, offset=2**40) + bytes(999)), "truncated or damaged"),
        (header(tensors=2, rest=entry() + entry(offset=128) + bytes(999)), "same name"),
        (header(tensors=2, rest=entry() + entry(b"u") + bytes(999)), "overlap"),
        (header(tensors=2, rest=entry(b"u", offset=96) + entry() + bytes(999)), "overlap"),
    ],
)
def test_each_malformation_is_refused_by_name(path: Path, data: bytes, saying: str) -> None:
    refuse(path, data, saying=saying)


@pytest.mark.parametrize(
    "split",
    [
        {"split.count": Typed("u16", 65535)},
        {"split.count": Typed("u64", U64_MAX)},
        {"split.count": "2"},
        {"split.count": Typed("f64", 2.0)},
        {"split.tensors.count": Typed("i32", -1)},
    ],
)
def test_a_wrong_split_is_refused(path: Path, split: dict[str, Any]) -> None:
    refuse(path, gguf_bytes(split, {}), saying="split|tensors are announced")


def test_what_is_not_a_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for bad in (tmp_path, tmp_path / "pipe.gguf", tmp_path / "absent.gguf", tmp_path / "a\0b"):
        with pytest.raises(ModelFileError):
            GGUFFile.open(bad)


def test_a_header_beyond_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.gguf"
    announced = gguf_values.MAX_HEADER_BYTES
    path.write_bytes(header(pairs=1, rest=pair(8, struct.pack("<Q", announced))))
    os.truncate(path, 4 * announced)  # a hole: no disk is used
    tracemalloc.start()
    with pytest.raises(ModelFileError, match="larger than the limit"):
        GGUFFile.open(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


@pytest.mark.parametrize("text", [b"", b"ab", "é".encode(), "🦆".encode()])
def test_memory_is_a_small_multiple_of_the_file(path: Path, text: bytes) -> None:
    count = 100_000
    path.write_bytes(header(pairs=1, rest=pair(9, struct.pack("<IQ", 8, count) + string(text) * count)))
    tracemalloc.start()
    GGUFFile.open(path).close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * path.stat().st_size + (4 << 20)


def test_every_truncation_is_refused(path: Path, sound_files: list[bytes]) -> None:
    for data in sound_files[:2]:  # the third ends in padding, which may be missing
        for size in [*range(0, 400, 7), *random.Random(0).sample(range(len(data)), 60)]:
            path.write_bytes(data[:size])
            with pytest.raises(ModelFileError):
                GGUFFile.open(path)


@settings(max_examples=400, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_models_raise_nothing_else(path: Path, sound_files: list[bytes], data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(sound_files)))
    end = min(len(file), data.draw(st.sampled_from([64, 2000, len(file)])))
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, end - 8))
        new = data.draw(
            st.one_of(
                st.binary(min_size=1, max_size=8),
                st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, U64_MAX]).map(lambda n: struct.pack("<Q", n)),
            )
        )
        file[position : position + len(new)] = new
    try_to_use(path, bytes(file))


@settings(max_examples=200, deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rest=st.binary(max_size=300), tensors=st.integers(0, 3), pairs=st.integers(0, 3))
def test_random_bytes_raise_nothing_else(path: Path, rest: bytes, tensors: int, pairs: int) -> None:
    try_to_use(path, header(tensors=tensors, pairs=pairs, rest=rest))


@pytest.mark.parametrize("name", ["bert-bge", "llama-spm", "gpt-2"])
def test_mutated_real_headers_raise_nothing_else(path: Path, shared_data: Path, name: str) -> None:
    archive = shared_data / f"tokenizers/ggml-vocab-{name}.gguf.gz"
    sound = gzip.decompress(archive.read_bytes())
    chance = random.Random(7)
    for _ in range(25):
        data = bytearray(sound)
        reach = chance.choice([200, 2000, len(data)])
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(reach)] = chance.randrange(256)
        try_to_use(path, bytes(data))


def try_to_use(path: Path, data: bytes) -> None:
    with suppress(ModelFileError):
        open_and_use(path, data)
