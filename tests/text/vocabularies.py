"""The vocabularies of the shared test data, read with the package's own reader, once per session."""

from __future__ import annotations

import gzip
import json
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from pennyweight.models.gguf import GGUFFile
from pennyweight.text.tokenizer import Tokenizer

NAMES = [
    "baichuan",
    "bert-bge",
    "deepseek-coder",
    "deepseek-llm",
    "falcon",
    "gpt-2",
    "gpt-neox",
    "llama-spm",
    "mpt",
    "phi-3",
    "refact",
    "starcoder",
]
WITH_VECTORS = tuple(name for name in NAMES if name not in ("baichuan", "gpt-neox"))
SAMPLE_CHARS = 300  # of each of the 532 translations


def unpack(data: Path, name: str, folder: Path) -> Path:
    """The vocabulary's model file, unpacked into `folder`."""
    path = folder / f"{name}.gguf"
    with gzip.open(data / "tokenizers" / f"ggml-vocab-{name}.gguf.gz") as packed:
        path.write_bytes(packed.read())
    return path


@cache
def metadata(data: Path, name: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, GGUFFile.open(unpack(data, name, Path(folder))) as file:
        return dict(file.metadata)


@cache
def tokenizer(data: Path, name: str) -> Tokenizer:
    return Tokenizer.from_metadata(metadata(data, name))


@cache
def translations(data: Path) -> tuple[str, ...]:
    """The beginning of the Universal Declaration of Human Rights in 532 languages and scripts."""
    with gzip.open(data / "udhr" / "udhr.jsonl.gz", "rt", encoding="utf-8") as lines:
        return tuple(json.loads(line)["text"][:SAMPLE_CHARS] for line in lines)


@cache
def vectors(data: Path, name: str) -> tuple[tuple[str, list[int]], ...]:
    """llama.cpp's texts and expected ids."""
    with tarfile.open(data / "tokenizers" / "vocab_test_vectors.tar.gz") as files:
        members = {Path(member.name).name: member for member in files}
        texts, ids = (
            files.extractfile(members[f"ggml-vocab-{name}.gguf.{suffix}"]).read().decode()  # type: ignore[union-attr]
            for suffix in ("inp", "out")
        )
    expected = [[int(token) for token in line.split()] for line in ids.split("\n")]
    return tuple(zip(texts.split("\n__ggml_vocab_test__\n"), expected, strict=True))
