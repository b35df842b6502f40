"""A model file becomes a packed decoder, one tensor at a time.

Each matrix is read, transcoded into the engine's panels and dropped, so the peak is the packed weights plus
the largest tensor. The hash over everything read comes free with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.errors import ModelFileError
from pennyweight.models.architectures import architecture_of
from pennyweight.models.gguf import GGUFFile
from pennyweight.models.local import model_name

if TYPE_CHECKING:
    import os

    from pennyweight.models.roles import DecoderRoles, LayerRoles, MatrixRole
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native import _native

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in total)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A decoder ready to run, and the metadata its tokenizer and chat template are made from.

    `content_hash` is the SHA-256 (hex) of the headers and of every tensor's bytes as they were read: two
    models with the same hash compute the same. It is not the SHA-256 of the file, which also covers padding.
    """

    spec: ModelSpec
    model: _native.Model
    metadata: Mapping[str, Any]
    path: Path
    name: str
    content_hash: str


def load(path: str | os.PathLike[str], *, progress: Progress | None = None) -> LoadedModel:
    """Read and pack the model at `path` (the first file of a split one).

    Its name is the catalog's if the catalog knows the file, else the file's own. Raises ModelFileError.
    """
    path = Path(path)
    with GGUFFile.open(path) as file:
        try:
            architecture = architecture_of(file.metadata)
            spec = architecture.describe(file.metadata, file.tensors)
            roles = architecture.roles(spec, file.tensors)
        except ModelFileError as error:
            raise ModelFileError(f"{path.name}: {error.message}") from error
        packer = _Packer(file, progress)
        model = packer.model(spec, roles)
        return LoadedModel(
            spec=spec,
            model=model,
            metadata=file.metadata,
            path=path,
            name=model_name(path),
            content_hash=packer.content_hash(),
        )


class _Packer:
    """Reads tensors in the order the decoder wants them, hashing and counting on the way."""

    def __init__(self, file: GGUFFile, progress: Progress | None) -> None:
        self._file = file
        self._progress = progress
        self._done = 0
        self._total = sum(tensor.nbytes or 0 for tensor in file.tensors.values())
        self._hash = hashlib.sha256(b"".join(file.header_digests))

    def content_hash(self) -> str:
        return self._hash.hexdigest()

    def model(self, spec: ModelSpec, roles: DecoderRoles) -> _native.Model:
        from pennyweight.native import _native  # the extension loads only when a model does

        return _native.Model(
            vocab_size=spec.vocab_size,
            d_model=spec.d_model,
            num_heads=spec.num_heads,
            num_kv_heads=spec.num_kv_heads,
            head_dim=spec.head_dim,
            d_ff=spec.d_ff,
            norm_eps=spec.norm_eps,
            activation=spec.activation,
            attention_scale=spec.attention_scale,
            embedding_scale=spec.embedding_scale,
            windows=[layer.window or 0 for layer in spec.layers],
            ropes=[rope.inverse_frequencies for rope in spec.ropes],
            rope_of_layer=[layer.rope for layer in spec.layers],
            layers=[self._layer(layer) for layer in roles.layers],
            embedding=self._matrix(roles.embedding),
            final_norm=self._bytes(roles.final_norm),
            head=None if roles.head is None else self._matrix(roles.head),
        )

    def _layer(self, roles: LayerRoles) -> _native.LayerWeights:
        from pennyweight.native import _native

        return _native.LayerWeights(
            attention_norm=self._bytes(roles.attention_norm),
            query=self._matrix(roles.query),
            key=self._matrix(roles.key),
            value=self._matrix(roles.value),
            output=self._matrix(roles.output),
            feed_forward_norm=self._bytes(roles.feed_forward_norm),
            gate=self._matrix(roles.gate),
            up=self._matrix(roles.up),
            down=self._matrix(roles.down),
            query_norm=self._optional_bytes(roles.query_norm),
            key_norm=self._optional_bytes(roles.key_norm),
            post_attention_norm=self._optional_bytes(roles.post_attention_norm),
            post_feed_forward_norm=self._optional_bytes(roles.post_feed_forward_norm),
        )

    def _matrix(self, role: MatrixRole) -> _native.PackedMatrix:
        from pennyweight.native import _native

        return _native.PackedMatrix(
            self._bytes(role.tensor),
            type=self._file.tensors[role.tensor].type,
            rows=role.rows,
            columns=role.columns,
            row_map=role.row_map,
        )

    def _optional_bytes(self, name: str | None) -> bytearray | None:
        return None if name is None else self._bytes(name)

    def _bytes(self, name: str) -> bytearray:
        data = self._file.read(name)
        self._hash.update(data)
        self._done += len(data)
        if self._progress is not None:
            self._progress(self._done, self._total)
        return data
