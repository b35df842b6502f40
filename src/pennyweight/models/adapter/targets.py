"""Where the rows of a trained module are in the decoder's matrices.

PEFT names modules as `transformers` does and keeps their rows in the order of training. The decoder may have
them in another one (rows that turn together stand in halves), and a fused projection is several of its
matrices. Files differ too: GGUF has Llama's queries and keys interleaved. Both are undone by asking the
family for its roles as if the file had the order of training.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal

from pennyweight.models.architectures import architecture_of
from pennyweight.models.huggingface.multimodal import text_name
from pennyweight.models.huggingface.names import place_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.gguf_header import TensorInfo
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec

Part = Literal["query", "key", "value", "output", "gate", "up", "down"]
PARTS: Final[tuple[Part, ...]] = ("query", "key", "value", "output", "gate", "up", "down")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Row `i` of the matrix `part` of `layer` is row `first_row + row_map[i]` of the trained module.

    Without a map it is row `first_row + i`.
    """

    layer: int
    part: Part
    rows: int
    columns: int
    first_row: int
    row_map: tuple[int, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTargets:
    """What of a decoder can be adapted: the targets of each tensor by its name in GGUF."""

    num_layers: int
    by_tensor: Mapping[str, tuple[Target, ...]]

    def of(self, module: str) -> tuple[Target, ...]:
        """The targets of a module such as `model.layers.0.mlp.up_proj`; none if it cannot be adapted.

        Of an adapter that was trained on text and images the text part's names are taken as well.
        """
        usual = text_name(f"{module}.weight")
        place = None if usual is None else place_of(usual, "pre")
        if place is None or place.expert is not None:
            return ()
        return self.by_tensor.get(place.name, ())


def adapter_targets(spec: ModelSpec, source: ModelTable) -> AdapterTargets:
    """Those of the model that `source` describes."""
    roles = architecture_of(source.metadata).roles(spec, _AsTrained(source))
    found: dict[str, list[Target]] = {}
    same: dict[tuple[int, ...], tuple[int, ...]] = {}  # all layers have the same maps: kept once
    for layer, matrices in enumerate(roles.layers):
        for part in PARTS:
            role = getattr(matrices, part)
            if role is None:
                continue
            target = Target(
                layer=layer,
                part=part,
                rows=role.rows,
                columns=role.columns,
                first_row=role.first_row,
                row_map=None if role.row_map is None else same.setdefault(role.row_map, role.row_map),
            )
            found.setdefault(role.tensor, []).append(target)
    table = {name: tuple(targets) for name, targets in found.items()}
    return AdapterTargets(num_layers=spec.num_layers, by_tensor=MappingProxyType(table))


class _AsTrained:
    """The same model, its rows in the order of training."""

    rotary_rows: Final = "halves"

    def __init__(self, source: ModelTable) -> None:
        self._source = source

    @property
    def metadata(self) -> Mapping[str, Any]:
        return self._source.metadata

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        return self._source.tensors

    def read(self, name: str) -> bytearray:
        return self._source.read(name)
