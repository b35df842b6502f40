"""Our reader, writer and encoders against the format's own Python package, `gguf`."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pennyweight.models.gguf import GGUFFile
from tests.models.quantise import quantise
from tests.models.tiny import WEIGHT_TYPES, k_shape, llama_shape, write_tiny

if TYPE_CHECKING:
    from pathlib import Path

gguf = pytest.importorskip("gguf", reason="the gguf package is not installed")


@pytest.mark.parametrize("kind", WEIGHT_TYPES)
def test_every_type_is_what_the_formats_package_reads(tmp_path: Path, kind: str) -> None:
    shape = k_shape(llama_shape(), kind) if kind.endswith("_K") else llama_shape(kind=kind)
    path = write_tiny(tmp_path / "tiny.gguf", shape)
    theirs = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    with GGUFFile.open(path) as file:
        assert set(theirs) == set(file.tensors)
        for name, info in file.tensors.items():
            tensor = theirs[name]
            assert info.type == tensor.tensor_type.name
            assert info.shape == tuple(int(size) for size in tensor.shape[::-1])
            assert info.nbytes == tensor.n_bytes
            assert bytes(file.read(name)) == tensor.data.tobytes()


@pytest.mark.parametrize("kind", [kind for kind in WEIGHT_TYPES if kind.startswith("Q")])
@pytest.mark.parametrize("offset", [-0.4, 0.0, 0.4])
def test_encoders_round_to_nearby_values(kind: str, offset: float) -> None:
    values = (np.random.default_rng(1).normal(size=(4, 512)) + offset).astype(np.float32)
    blocks = np.frombuffer(quantise(values, kind), np.uint8).reshape(4, -1)
    error = gguf.dequantize(blocks, gguf.GGMLQuantizationType[kind]) - values
    bits = int(kind[1])
    assert np.sqrt(np.mean(error**2)) < 2.0 * 2.0**-bits


@pytest.mark.parametrize("name", ["bert-bge", "llama-spm"])
def test_a_vocabulary_is_what_the_formats_package_reads(name: str, tmp_path: Path, shared_data: Path) -> None:
    path = tmp_path / "vocabulary.gguf"
    path.write_bytes(gzip.decompress((shared_data / f"tokenizers/ggml-vocab-{name}.gguf.gz").read_bytes()))
    theirs = gguf.GGUFReader(path).fields
    with GGUFFile.open(path) as file:
        assert file.metadata.keys() == {key for key in theirs if not key.startswith("GGUF.")}
        for key, value in file.metadata.items():
            ours = value if isinstance(value, (str, int, float)) else list(value)
            assert ours == theirs[key].contents()
