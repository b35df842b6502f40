"""Checked parts of an adapter become what the decoder computes with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.errors import ModelFileError
from pennyweight.models.adapter.weights import read_parts

if TYPE_CHECKING:
    from pennyweight.models.adapter.files import AdapterFiles
    from pennyweight.models.adapter.targets import AdapterTargets
    from pennyweight.native import _native


def pack_adapter(files: AdapterFiles, targets: AdapterTargets, model: _native.Model) -> _native.Adapter:
    """The adapter for `model`, whose `targets` these are. Raises ModelFileError."""
    from pennyweight.native import _native

    layers: list[dict[str, _native.LowRank]] = [{} for _ in range(targets.num_layers)]
    try:
        for part in read_parts(files, targets):
            layers[part.target.layer][part.target.part] = _native.LowRank(
                part.down,
                part.up,
                rank=part.rank,
                type=part.type,
                scale=part.scale,
                row_map=part.target.row_map,
            )
        return _native.Adapter(model, layers)
    except ValueError as error:
        raise ModelFileError(f"the adapter {files.name}: {error}") from error
