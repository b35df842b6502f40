"""What the header of a model file tells: shapes, the parts tensors play, and how large it all is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.errors import ConfigError, ModelFileError
from pennyweight.kv_format import kv_problem
from pennyweight.models.architectures import architecture_of
from pennyweight.models.block_types import FLOAT_TYPES
from pennyweight.models.huggingface.shards import is_folder
from pennyweight.models.source import open_source

if TYPE_CHECKING:
    import os

    from pennyweight.kv_format import KvFormat
    from pennyweight.models.roles import DecoderRoles, MatrixRole
    from pennyweight.models.rounded import WeightType
    from pennyweight.models.source import WeightSource
    from pennyweight.models.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOutline:
    """The size of a model. `weight_bytes` are those of its tensors in the file, filled up to whole panels."""

    spec: ModelSpec
    weight_bytes: int
    has_float_weights: bool  # some matrix is of a float type


def outline(
    path: str | os.PathLike[str], *, weights: WeightType | None = None, kv_format: KvFormat = "int8"
) -> ModelOutline:
    """The size of the model at `path`, of which only the header is read. Raises ModelFileError, ConfigError.

    `weights` and `kv_format` as of `models.load.load`.
    """
    with open_source(Path(path), weights=weights) as source:
        return outline_of(source, *described(source, kv_format=kv_format))


def outline_of(source: WeightSource, spec: ModelSpec, roles: DecoderRoles) -> ModelOutline:
    used = matrices(roles)
    types = {source.tensors[matrix.tensor].type for matrix in used}
    padding = sum(_padding_bytes(matrix, matrix_bytes(source, matrix)) for matrix in used)
    return ModelOutline(
        spec=spec,
        weight_bytes=padding + sum(tensor.nbytes or 0 for tensor in source.tensors.values()),
        has_float_weights=not types.isdisjoint(FLOAT_TYPES),
    )


def _padding_bytes(matrix: MatrixRole, nbytes: int) -> int:
    """What a panel of 16 rows and blocks of 32 columns adds to a matrix of other sizes."""
    rows, columns = -(-matrix.rows // 16) * 16, -(-matrix.columns // 32) * 32
    return nbytes * rows * columns // (matrix.rows * matrix.columns) - nbytes


def described(
    source: WeightSource, context: int | None = None, *, kv_format: KvFormat = "int8"
) -> tuple[ModelSpec, DecoderRoles]:
    """Shapes and the parts the tensors play, for an engine of `context` positions (None: the model's own).

    Raises ModelFileError naming the file, ConfigError if keys and values cannot be kept as `kv_format`.
    """
    try:
        architecture = architecture_of(source.metadata)
        spec = replace(architecture.describe(source, context), kv_format=kv_format)
        roles = architecture.roles(spec, source)
    except ModelFileError as error:
        raise ModelFileError(f"{_shown(source.path)}: {error.message}") from error
    if problem := kv_problem(kv_format, head_dim=spec.head_dim):
        raise ConfigError(f"{_shown(source.path)}: {problem}; open it with kv_cache_dtype int8")
    return spec, roles


def _shown(path: Path) -> str:
    return path.absolute().parent.name if is_folder(path) else path.name


def matrix_bytes(source: WeightSource, role: MatrixRole) -> int:
    """The bytes of a matrix in its file; it may be part of a tensor."""
    return source.nbytes(role.tensor) // prod(source.tensors[role.tensor].shape[:-1]) * role.rows


def matrices(roles: DecoderRoles) -> list[MatrixRole]:
    """All matrices of a decoder."""
    own = [roles.embedding] if roles.head is None else [roles.embedding, roles.head]
    for layer in roles.layers:
        own += layer.matrices
    return own
