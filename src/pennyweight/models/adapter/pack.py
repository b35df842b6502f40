"""Checked parts of an adapter become what the decoder computes with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pennyweight.errors import ModelFileError
from pennyweight.models.adapter.weights import read_parts

if TYPE_CHECKING:
    from pennyweight.models.adapter.base import BaseCheck
    from pennyweight.models.adapter.files import AdapterFiles
    from pennyweight.models.adapter.targets import AdapterTargets, Target
    from pennyweight.models.adapter.weights import LowRankPart
    from pennyweight.native import _native


def pack_adapter(
    files: AdapterFiles, targets: AdapterTargets, model: _native.Model, base: BaseCheck | None = None
) -> _native.Adapter:
    """The adapter for `model`, whose `targets` these are; `base` says what model that is. ModelFileError.

    Several threads round parts to eight bits while this one reads the next: somebody waits for it.
    """
    from pennyweight.native import _native

    layers: list[dict[str, _native.LowRank]] = [{} for _ in range(targets.num_layers)]
    pool = ThreadPoolExecutor(_native.useful_threads(), thread_name_prefix="pennyweight-adapter")
    try:
        if base is not None:
            base.look_at(files)
        for target, low_rank in pool.map(_packed, read_parts(files, targets)):
            layers[target.layer][target.part] = low_rank
        return _native.Adapter(model, layers)
    except ValueError as error:
        raise ModelFileError(f"the adapter {files.name}: {error}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _packed(part: LowRankPart) -> tuple[Target, _native.LowRank]:
    from pennyweight.native import _native

    low_rank = _native.LowRank(
        part.down,
        part.up,
        rank=part.rank,
        type=part.type,
        scale=part.scale,
        row_map=part.target.row_map,
    )
    return part.target, low_rank
