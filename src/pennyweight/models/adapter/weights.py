"""`adapter_model.safetensors`: the two matrices of each trained module, checked against the decoder.

Every tensor must belong to a pair, have the shapes that configuration and decoder ask for, and hold finite
numbers; one sentence says what is wrong with one that does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.adapter.config import AdapterConfig
from pennyweight.models.block_types import FLOAT_TYPES
from pennyweight.models.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pennyweight.models.adapter.files import AdapterFiles
    from pennyweight.models.adapter.targets import AdapterTargets, Target
    from pennyweight.models.safetensors import StoredTensor

_NAME: Final = re.compile(r"base_model\.model\.(?P<module>.{1,300})\.lora_(?P<half>[AB])\.weight")
_ADAPTED: Final = "queries, keys, values, outputs and the feed-forward of its layers"


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRankPart:
    """What is added to one matrix: `scale * up @ down`. `down` is `[rank, columns]`, `up` `[rows, rank]`.

    Both are little-endian values of `type`. Row `i` of the decoder's matrix is row `target.row_map[i]` of
    `up`.
    """

    target: Target
    rank: int
    scale: float
    type: str
    down: bytearray
    up: bytearray


def read_parts(files: AdapterFiles, targets: AdapterTargets) -> Iterator[LowRankPart]:
    """Everything the adapter adds, one part at a time. Raises ModelFileError naming the adapter."""
    try:
        config = AdapterConfig.read(files.config)
        with SafetensorsFile.open(files.weights) as file:
            for module, (down, up) in _pairs(file.tensors).items():
                yield from _module(file, config, targets, module, down, up)
    except ModelFileError as error:
        raise ModelFileError(f"the adapter {files.name}: {error.message}") from error


def _pairs(tensors: Mapping[str, StoredTensor]) -> dict[str, tuple[StoredTensor, StoredTensor]]:
    halves: dict[str, dict[str, StoredTensor]] = {}
    for name, tensor in tensors.items():
        match = _NAME.fullmatch(name)
        if match is None:
            raise ModelFileError(
                f"the tensor {name!r:.200} is no part of a LoRA of linear layers; train those alone"
            )
        halves.setdefault(match["module"], {})[match["half"]] = tensor
    if not halves:
        raise ModelFileError("it has no tensors; train it, then save it with PEFT's save_pretrained")
    for module, pair in halves.items():
        if missing := {"A", "B"} - pair.keys():
            raise ModelFileError(f"lora_{missing.pop()} of {module!r} is missing; save the adapter again")
    return {module: (pair["A"], pair["B"]) for module, pair in halves.items()}


def _module(
    file: SafetensorsFile,
    config: AdapterConfig,
    targets: AdapterTargets,
    module: str,
    down: StoredTensor,
    up: StoredTensor,
) -> Iterator[LowRankPart]:
    own = targets.of(module)
    if not own:
        raise ModelFileError(
            f"it adapts {module!r}, which cannot be adapted in this model of {targets.num_layers} layers; "
            f"train {_ADAPTED}, and of this very model"
        )
    rank = config.rank_of(module)
    rows = max(target.first_row + target.rows for target in own)
    _check_shape(down, (rank, own[0].columns))
    _check_shape(up, (rows, rank))
    if down.type != up.type:
        raise ModelFileError(f"{down.name!r} is {down.type} and {up.name!r} {up.type}; save both alike")
    down_bytes, up_bytes = _finite(file, down), _finite(file, up)
    row_bytes = len(up_bytes) // rows
    for target in own:
        first = target.first_row * row_bytes
        yield LowRankPart(
            target=target,
            rank=rank,
            scale=config.scale_of(module),
            type=down.type,
            down=down_bytes,
            up=up_bytes[first : first + target.rows * row_bytes],
        )


def _check_shape(tensor: StoredTensor, expected: tuple[int, int]) -> None:
    if tensor.type not in FLOAT_TYPES:
        raise ModelFileError(f"{tensor.name!r} has the type {tensor.type}; expected F32, F16 or BF16")
    if tensor.shape != expected:
        raise ModelFileError(
            f"{tensor.name!r} has the shape {tensor.shape}; this model and the adapter's rank ask for "
            f"{expected}: it was trained for another model"
        )


def _finite(file: SafetensorsFile, tensor: StoredTensor) -> bytearray:
    data = file.read(tensor.name)
    if not _is_finite(data, tensor.type):
        raise ModelFileError(
            f"{tensor.name!r} holds numbers that are not finite: the training failed; "
            "take an earlier checkpoint"
        )
    return data


def _is_finite(data: bytearray, kind: str) -> bool:
    """Whether no exponent has all its bits set. Few bytes look as if, so that looking costs little."""
    width = 4 if kind == "F32" else 2
    top = data[width - 1 :: width]
    if kind == "F16":
        return not any(byte in top for byte in _F16_TOPS)
    if 0x7F not in top and 0xFF not in top:
        return True
    below = data[width - 2 :: width]
    return not any(high & 0x7F == 0x7F and low & 0x80 for high, low in zip(top, below, strict=True))


_F16_TOPS: Final = (*range(0x7C, 0x80), *range(0xFC, 0x100))
