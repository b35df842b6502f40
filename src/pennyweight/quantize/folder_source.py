"""A folder as the GGUF file that would hold it: rows in that format's order, and all metadata.

Names and types of tensors are GGUF's already (`models.huggingface`); what is left is the order of the rows of
queries and keys in families that GGUF keeps for interleaved rotation, the vocabulary, and the model's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from pennyweight.errors import ModelFileError
from pennyweight.models.architectures import architecture_of
from pennyweight.models.huggingface.families import LEFT_OUT
from pennyweight.models.huggingface.folder import HuggingFaceFolder
from pennyweight.models.local import model_name
from pennyweight.models.outline import described
from pennyweight.quantize.importance import calibration_text
from pennyweight.text.gguf_vocabulary import gguf_vocabulary
from pennyweight.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pennyweight.models.gguf_header import TensorInfo
    from pennyweight.models.roles import DecoderRoles

_PHI3: Final = frozenset(("<unk>", "<s>", "<|endoftext|>", "<|assistant|>", "<|end|>"))
_KEPT: Final = ("general.sampling.", "tokenizer.chat_template")


class FolderSource:
    """The open folder; closed with its context. Reading is for any thread."""

    rotary_rows: Final = "interleaved"

    def __init__(self, path: Path) -> None:
        """Raises ModelFileError for a folder that does not run, or whose vocabulary GGUF cannot hold."""
        self.path = path
        self._folder = HuggingFaceFolder.open(path)
        try:
            self.metadata: Mapping[str, Any] = _metadata(self._folder)
            self.left_out: str | None = self._folder.metadata.get(LEFT_OUT)
            self._row_of = _moved_rows(self._folder)
        except BaseException:
            self._folder.close()
            raise

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        return self._folder.tensors

    @property
    def header_digests(self) -> tuple[bytes, ...]:
        return self._folder.header_digests

    def nbytes(self, name: str) -> int:
        return self._folder.nbytes(name)

    def read(self, name: str) -> bytearray:
        data = bytearray(self.nbytes(name))
        self.read_into(name, memoryview(data))
        return data

    def read_into(self, name: str, target: memoryview, *, start: int = 0) -> None:
        """Whole rows of a tensor whose rows are moved."""
        rows = self._row_of.get(name)
        if rows is None:
            self._folder.read_into(name, target, start=start)
            return
        size = self.nbytes(name) // self.tensors[name].shape[0]
        assert start % size == 0
        for place in range(0, len(target), size):
            row = rows[(start + place) // size]
            self._folder.read_into(name, target[place : place + size], start=row * size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.close()


def _metadata(folder: HuggingFaceFolder) -> dict[str, Any]:
    own = folder.metadata
    architecture: str = own["general.architecture"]
    vocabulary = gguf_vocabulary(own)
    found = {
        "general.architecture": architecture,
        "general.type": "model",
        "general.name": _name(folder.path, vocabulary),
        **{key: value for key, value in own.items() if key.startswith((f"{architecture}.", *_KEPT))},
        **vocabulary,
    }
    _check_tokens(folder, found)
    return found


def _name(path: Path, vocabulary: Mapping[str, Any]) -> str:
    """Readers know by the model's name that Phi-3's turn tokens swallow blanks."""
    name = model_name(path)
    is_phi3 = "tokenizer.ggml.strip_right" in vocabulary and _PHI3.issubset(
        vocabulary["tokenizer.ggml.tokens"]
    )
    told = "phi-3" in name.lower() or "phi3" in name.lower()
    return f"{name} (Phi-3)" if is_phi3 and not told else name


def _check_tokens(folder: HuggingFaceFolder, metadata: Mapping[str, Any]) -> None:
    """A text in many languages must have the same tokens from both forms of the vocabulary."""
    text = calibration_text()
    ours, theirs = (Tokenizer.from_metadata(one).encode(text) for one in (metadata, folder.metadata))
    if ours != theirs:
        raise ModelFileError(
            f"{model_name(folder.path)}: its vocabulary gives other tokens as GGUF would keep it; convert "
            "the folder with llama.cpp's convert_hf_to_gguf.py, or run it as it is with --type"
        )


def _moved_rows(folder: HuggingFaceFolder) -> dict[str, Sequence[int]]:
    """For tensors whose rows lie otherwise in GGUF: the folder's row for each of the file's."""
    spec, here = described(folder)
    there = architecture_of(folder.metadata).roles(spec, _Interleaved(folder))
    moved: dict[str, Sequence[int]] = {}
    for name, rows in _row_maps(there).items():
        stored = _row_maps(here).get(name) or range(len(rows))
        if rows == tuple(stored):
            continue
        order = [0] * len(rows)
        for row, place in zip(stored, rows, strict=True):
            order[place] = row
        moved[name] = order
        bias = name.removesuffix("weight") + "bias"
        if bias in folder.tensors:
            moved[bias] = order
    return moved


def _row_maps(roles: DecoderRoles) -> dict[str, tuple[int, ...]]:
    """Of tensors that are one matrix; a fused one's rows are never interleaved."""
    maps = {role.tensor: role.row_map for layer in roles.layers for role in (layer.query, layer.key)}
    return {name: rows for name, rows in maps.items() if rows is not None}


class _Interleaved:
    """The folder's table, as if its rows were in GGUF's order."""

    rotary_rows: Final = "interleaved"

    def __init__(self, folder: HuggingFaceFolder) -> None:
        self.metadata: Mapping[str, Any] = folder.metadata
        self.tensors: Mapping[str, TensorInfo] = folder.tensors
        self.read = folder.read
