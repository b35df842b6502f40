"""A model file becomes a packed decoder, its tensors by several threads at once.

Each matrix is read, hashed and transcoded into the engine's panels piece by piece in a buffer that its thread
uses again, so the peak is the packed weights plus a megabyte for each thread. (Making the tokenizer meanwhile
gained nothing: it holds the interpreter that these threads need between two tensors.)
"""

from __future__ import annotations

import hashlib
import logging
import threading
from array import array
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from pennyweight.models.adapter.targets import adapter_targets
from pennyweight.models.huggingface.families import LEFT_OUT
from pennyweight.models.local import model_name
from pennyweight.models.outline import described, matrices, matrix_bytes, outline_of
from pennyweight.models.source import open_source

if TYPE_CHECKING:
    import os

    from pennyweight.kv_format import KvFormat
    from pennyweight.models.adapter.targets import AdapterTargets
    from pennyweight.models.outline import ModelOutline
    from pennyweight.models.roles import DecoderRoles, LayerRoles, MatrixRole
    from pennyweight.models.rounded import WeightType
    from pennyweight.models.source import WeightSource
    from pennyweight.models.spec import ModelSpec
    from pennyweight.native import _native

_log = logging.getLogger(__name__)
PIECE_BYTES = 2**20  # read at a time: it is still in the processor's cache when it is packed

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in total)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A decoder ready to run, and the metadata its tokenizer and chat template are made from.

    `content_hash` is a SHA-256 (hex) over those of the headers and of every tensor's bytes as they were read:
    two models with the same hash compute the same. It is not the SHA-256 of the file, which also covers
    padding.
    """

    spec: ModelSpec
    model: _native.Model
    adapter_targets: AdapterTargets
    metadata: Mapping[str, Any]
    path: Path
    name: str
    content_hash: str

    def without_lists(self) -> Self:
        """The same model without lists and bytes of its metadata, of which a vocabulary has megabytes."""
        large = (list, tuple, bytes)
        kept = {key: value for key, value in self.metadata.items() if not isinstance(value, large)}
        return replace(self, metadata=MappingProxyType(kept))


def load(
    path: str | os.PathLike[str],
    *,
    context: int | None = None,
    weights: WeightType | None = None,
    kv_format: KvFormat = "int8",
    threads: int | None = None,
    beginning: Callable[[], None] = lambda: None,
    progress: Progress | None = None,
    admit: Callable[[ModelOutline], None] = lambda _: None,
    packed: Callable[[MatrixRole, _native.PackedMatrix], None] = lambda *_: None,
) -> LoadedModel:
    """Read and pack the model at `path` (the first file of a split one).

    Its name is the catalog's if the catalog knows the file, else the file's own. `context` is the number of
    positions it will be opened with (None: all it was made for), `weights` the type that float matrices are
    rounded to (None: they stay as they are), `kv_format` what keys and values will be kept in. `threads`
    (None: as many as there are cores) read and pack; each calls `beginning` first. `admit` is called before
    any weight is read; what it raises ends the loading; `packed` is told every matrix.
    Raises ModelFileError, ConfigError.
    """
    path = Path(path)
    with open_source(path, weights=weights) as source:
        spec, roles = described(source, context, kv_format=kv_format)
        admit(outline_of(source, spec, roles))
        _tell_what_is_left_out(source)
        with _Packer(source, spec, roles, _pool(threads, beginning)) as packer:
            return LoadedModel(
                spec=spec,
                model=packer.model(progress, packed),
                adapter_targets=adapter_targets(spec, source),
                metadata=source.metadata,
                path=path,
                name=model_name(path),
                content_hash=packer.content_hash(),
            )


def _pool(threads: int | None, beginning: Callable[[], None]) -> ThreadPoolExecutor:
    from pennyweight.native import _native  # the extension loads only when a model does

    count = threads or _native.useful_threads()
    return ThreadPoolExecutor(count, thread_name_prefix="pennyweight-load", initializer=beginning)


def _tell_what_is_left_out(source: WeightSource) -> None:
    left_out = source.metadata.get(LEFT_OUT)
    if left_out is not None:
        _log.warning(
            "%s reads text and %s; here it reads text alone, its weights for %s are left out",
            model_name(source.path),
            left_out,
            left_out,
        )


class _Packer:
    """Packs every matrix on threads that end with its context."""

    def __init__(
        self, source: WeightSource, spec: ModelSpec, roles: DecoderRoles, pool: ThreadPoolExecutor
    ) -> None:
        self._source = source
        self._spec = spec
        self._roles = roles
        self._tensors = TensorReader(source)
        self._pool = pool
        self._packed: dict[MatrixRole, _native.PackedMatrix] = {}

    def content_hash(self) -> str:
        return self._tensors.content_hash()

    def model(
        self, progress: Progress | None, packed: Callable[[MatrixRole, _native.PackedMatrix], None]
    ) -> _native.Model:
        """The decoder, when all of it is packed. Raises ModelFileError."""
        self._pack_all(progress)
        for role, matrix in self._packed.items():
            packed(role, matrix)
        return self._model()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _pack_all(self, progress: Progress | None) -> None:
        """Pack the matrices, largest first, and say how much is done."""
        roles = sorted(matrices(self._roles), key=lambda role: -role.rows * role.columns)
        total = sum(tensor.nbytes or 0 for tensor in self._source.tensors.values())
        done = total - sum(matrix_bytes(self._source, role) for role in roles)  # vectors cost nothing
        for role, packed in zip(roles, self._pool.map(self._pack, roles), strict=True):
            self._packed[role] = packed
            done += matrix_bytes(self._source, role)
            if progress is not None:
                progress(done, total)

    def _model(self) -> _native.Model:
        from pennyweight.native import _native

        spec, roles = self._spec, self._roles
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
            final_norm=self._tensors.vector(roles.final_norm),
            head=None if roles.head is None else self._matrix(roles.head),
            rope_magnitudes=[rope.magnitude for rope in spec.ropes],
            attention_softcap=spec.attention_softcap,
            logit_softcap=spec.logit_softcap,
            residual_scale=spec.residual_scale,
            logit_scale=spec.logit_scale,
            experts_used=0 if spec.experts is None else spec.experts.used,
            experts_normalize=spec.experts is not None and spec.experts.normalize,
            experts_scale=1.0 if spec.experts is None else spec.experts.scale,
        )

    def _layer(self, roles: LayerRoles) -> _native.LayerWeights:
        from pennyweight.native import _native

        optional, bias = self._tensors.optional_vector, self._bias
        return _native.LayerWeights(
            attention_norm=optional(roles.attention_norm),
            query=self._matrix(roles.query),
            key=self._matrix(roles.key),
            value=self._matrix(roles.value),
            output=self._matrix(roles.output),
            feed_forward_norm=optional(roles.feed_forward_norm),
            gate=self._optional_matrix(roles.gate),
            up=self._optional_matrix(roles.up),
            down=self._optional_matrix(roles.down),
            query_norm=optional(roles.query_norm),
            key_norm=optional(roles.key_norm),
            post_attention_norm=optional(roles.post_attention_norm),
            post_feed_forward_norm=optional(roles.post_feed_forward_norm),
            query_bias=bias(roles.query_bias, roles.query),
            key_bias=bias(roles.key_bias, roles.key),
            value_bias=bias(roles.value_bias, roles.value),
            output_bias=bias(roles.output_bias, roles.output),
            router=self._optional_matrix(roles.router),
            experts=[
                (self._matrix(expert.gate), self._matrix(expert.up), self._matrix(expert.down))
                for expert in roles.experts
            ],
        )

    def _bias(self, name: str | None, role: MatrixRole) -> bytearray | array[float] | None:
        """A bias in the order of its matrix's packed rows."""
        stored = self._tensors.optional_vector(name)
        if stored is None or role.row_map is None:
            return stored
        values = array("f", bytes(stored))
        return array("f", [values[row] for row in role.row_map])

    def _matrix(self, role: MatrixRole) -> _native.PackedMatrix:
        return self._packed[role]

    def _optional_matrix(self, role: MatrixRole | None) -> _native.PackedMatrix | None:
        return None if role is None else self._matrix(role)

    def _pack(self, role: MatrixRole) -> _native.PackedMatrix:
        from pennyweight.native import _native

        return _native.PackedMatrix.from_pieces(
            self._tensors.pieces(role),
            type=self._source.tensors[role.tensor].type,
            rows=role.rows,
            columns=role.columns,
            row_map=role.row_map,
        )


class TensorReader:
    """Reads and hashes tensors, each thread in a buffer of its own that it uses again and again."""

    def __init__(self, source: WeightSource) -> None:
        self._source = source
        self._buffers = threading.local()
        self._digests: dict[tuple[str, int], bytes] = {}  # by tensor and row

    def content_hash(self) -> str:
        whole = hashlib.sha256(b"".join(self._source.header_digests))
        for part in sorted(self._digests):
            whole.update(self._digests[part])
        return whole.hexdigest()

    def pieces(self, role: MatrixRole) -> Iterator[memoryview]:
        """The rows of a matrix, some at a time; a piece lasts until the next, which overwrites it."""
        size = matrix_bytes(self._source, role)
        row_bytes = size // role.rows
        first = role.first_row * row_bytes
        most = max(1, PIECE_BYTES // row_bytes) * row_bytes
        buffer: bytearray = getattr(self._buffers, "buffer", bytearray())
        if len(buffer) < min(most, size):
            self._buffers.buffer = buffer = bytearray(min(most, size))
        digest = hashlib.sha256()
        for start in range(0, size, most):
            with memoryview(buffer)[: min(most, size - start)] as view:
                self._source.read_into(role.tensor, view, start=first + start)
                digest.update(view)
                yield view
        self._digests[role.tensor, role.first_row] = digest.digest()

    def vector(self, name: str) -> bytearray:
        data = self._source.read(name)
        self._digests[name, 0] = hashlib.sha256(data).digest()
        return data

    def optional_vector(self, name: str | None) -> bytearray | None:
        return None if name is None else self.vector(name)
