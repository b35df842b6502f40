"""An encoder's file becomes a packed one: float weights are rounded to 8 bits, others transcoded as they are.

Rounding costs a cosine of about 0.0002 (`docs/log.md`) and halves what is read, so it is done for every file
of F32, F16 or BF16 weights; biases, norms and the few positions stay float32.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pennyweight.errors import ModelFileError
from pennyweight.models.bert import (
    FLOAT_TYPES,
    GGUF_NAMES,
    NAME,
    EncoderNames,
    EncoderSpec,
    check_tensors,
    describe,
)
from pennyweight.models.bert_folder import describe_folder, names_in
from pennyweight.models.block_types import readable_names
from pennyweight.models.gguf import GGUFFile
from pennyweight.models.huggingface.shards import WEIGHTS_FILE
from pennyweight.models.json_file import read_json
from pennyweight.models.local import model_name
from pennyweight.models.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pennyweight.models.bert import Stored
    from pennyweight.native import _native

_PACKED: Final = "Q8_0"


class TensorFile(Protocol):
    """GGUF and safetensors alike."""

    @property
    def tensors(self) -> Mapping[str, Stored]: ...

    def read(self, name: str) -> bytearray: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedEncoder:
    """An encoder ready to run. `tokenizer` holds GGUF's metadata, or of a folder its `tokenizer.json`.

    `content_hash` is the SHA-256 (hex) of the spec and of every tensor's bytes: equal hashes compute equal
    vectors.
    """

    spec: EncoderSpec
    model: _native.EncoderModel
    tokenizer: Mapping[str, Any]
    path: Path
    name: str
    content_hash: str


def load_encoder(path: Path) -> LoadedEncoder:
    """Read and pack the GGUF file, or the folder's safetensors file, at `path`. Raises ModelFileError."""
    with ExitStack() as opened:
        try:
            file, spec, names, tokenizer = _open(path, opened)
            check_tensors(spec, names, file.tensors)
            packer = _Packer(file, names, spec)
            model = packer.model()
        except ModelFileError as error:
            raise ModelFileError(f"{model_name(path)}: {error.message}") from error
        except ValueError as error:  # weights that are no numbers
            raise ModelFileError(f"{model_name(path)}: {error}") from error
    return LoadedEncoder(
        spec=spec,
        model=model,
        tokenizer=tokenizer,
        path=path,
        name=model_name(path),
        content_hash=packer.content_hash(),
    )


def _open(path: Path, opened: ExitStack) -> tuple[TensorFile, EncoderSpec, EncoderNames, Mapping[str, Any]]:
    if path.name == WEIGHTS_FILE:
        folder = opened.enter_context(SafetensorsFile.open(path))
        spec = describe_folder(path.parent, folder.tensors)
        return folder, spec, names_in(folder.tensors), read_json(path.parent / "tokenizer.json")
    file = opened.enter_context(GGUFFile.open(path))
    architecture = file.metadata.get("general.architecture")
    if architecture != NAME:
        raise ModelFileError(f"the architecture {architecture!r} is no text encoder; this engine runs {NAME}")
    return file, describe(file.metadata, file.tensors), GGUF_NAMES, file.metadata


class _Packer:
    """Reads tensors in the order the encoder wants them, hashing on the way."""

    def __init__(self, file: TensorFile, names: EncoderNames, spec: EncoderSpec) -> None:
        self._file = file
        self._names = names
        self._spec = spec
        self._hash = hashlib.sha256(repr(spec).encode())

    def content_hash(self) -> str:
        return self._hash.hexdigest()

    def model(self) -> _native.EncoderModel:
        from pennyweight.native import _native  # the extension loads only when a model does

        names, spec = self._names, self._spec
        token_types = self._matrix(names.token_types, rounded=False)
        return _native.EncoderModel(
            d_model=spec.d_model,
            num_heads=spec.num_heads,
            d_ff=spec.d_ff,
            norm_eps=spec.norm_eps,
            pooling=spec.pooling,
            embedding=self._matrix(names.embedding),
            positions=self._matrix(names.positions, rounded=False),
            token_type=_float_bytes(token_types.row(0)),
            embedding_norm=self._norm(names.embedding_norm),
            layers=[self._layer(names.layer.format(index)) for index in range(spec.num_layers)],
        )

    def _layer(self, layer: str) -> _native.EncoderLayer:
        from pennyweight.native import _native

        names = self._names
        return _native.EncoderLayer(
            query=self._affine(layer + names.query),
            key=self._affine(layer + names.key),
            value=self._affine(layer + names.value),
            output=self._affine(layer + names.output),
            attention_norm=self._norm(layer + names.attention_norm),
            up=self._affine(layer + names.up),
            down=self._affine(layer + names.down),
            output_norm=self._norm(layer + names.output_norm),
        )

    def _affine(self, name: str) -> _native.Affine:
        from pennyweight.native import _native

        return _native.Affine(weight=self._matrix(name), bias=self._vector(f"{name}.bias"))

    def _norm(self, name: str) -> _native.LayerNorm:
        from pennyweight.native import _native

        return _native.LayerNorm(weight=self._vector(f"{name}.weight"), bias=self._vector(f"{name}.bias"))

    def _matrix(self, name: str, *, rounded: bool = True) -> _native.PackedMatrix:
        from pennyweight.native import _native

        tensor = self._file.tensors[f"{name}.weight"]
        rows, columns = tensor.shape
        data: bytearray | bytes = self._read(f"{name}.weight")
        kind = tensor.type
        if rounded and kind in FLOAT_TYPES:
            data, kind = _native.to_q8_0(data, type=kind), _PACKED
        elif kind not in readable_names().split(", "):
            raise ModelFileError(f"tensor {name!r} has the type {kind}; this engine reads {readable_names()}")
        return _native.PackedMatrix(data, type=kind, rows=rows, columns=columns)

    def _vector(self, name: str) -> bytearray | bytes:
        """As float32: some files store everything in 16 bits."""
        from pennyweight.native import _native

        tensor, data = self._file.tensors[name], self._read(name)
        if tensor.type == "F32":
            return data
        row = _native.PackedMatrix(data, type=tensor.type, rows=1, columns=tensor.shape[0])
        return _float_bytes(row.row(0))

    def _read(self, name: str) -> bytearray:
        data = self._file.read(name)
        self._hash.update(data)
        return data


def _float_bytes(values: list[float]) -> bytes:
    from array import array

    return array("f", values).tobytes()
