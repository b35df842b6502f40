"""The registry: the name in `general.architecture` leads to the module that describes the decoder."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.models import (
    gemma2,
    gemma3,
    llama,
    minicpm,
    olmo2,
    phi3,
    qwen2,
    qwen3,
    qwen3moe,
    smollm3,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pennyweight.models.roles import DecoderRoles
    from pennyweight.models.source import ModelTable
    from pennyweight.models.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """`describe` turns what a model says of itself into a spec, `roles` names the tensor of every part.

    `describe` also gets the number of positions the engine is opened with (None: all it was made for).
    """

    name: str
    describe: Callable[[ModelTable, int | None], ModelSpec]
    roles: Callable[[ModelSpec, ModelTable], DecoderRoles]


ARCHITECTURES: Final[Mapping[str, Architecture]] = MappingProxyType(
    {
        module.NAME: Architecture(name=module.NAME, describe=module.describe, roles=module.roles)
        for module in (llama, qwen2, qwen3, qwen3moe, phi3, gemma2, gemma3, minicpm, smollm3, olmo2)
    }
)

_LACKING: Final[Mapping[str, str]] = MappingProxyType(
    {
        "deepseek2": "latent attention (MLA)",
        "gemma3n": "per-layer embeddings",
        "llama4": "chunked attention and shared experts",
        "minicpm3": "latent attention (MLA)",
        "olmoe": "experts beside norms of all query heads",
        "phimoe": "layer norms with biases and sparse mixing of experts",
        "qwen2moe": "shared experts",
        "qwen2vl": "rotary positions in three dimensions",
        "qwen3vl": "rotary positions in three dimensions",
    }
)
"""What some families need that this engine does not compute; of others only the name is known."""


def architecture_of(metadata: Mapping[str, Any]) -> Architecture:
    """The architecture of a model file; ModelFileError names an unsupported one and the supported ones."""
    name = metadata.get("general.architecture")
    architecture = ARCHITECTURES.get(name) if isinstance(name, str) else None
    if architecture is None:
        lacking = _LACKING.get(name) if isinstance(name, str) else None
        needs = "" if lacking is None else f" (it needs {lacking})"
        raise ModelFileError(
            f"the architecture {reprlib.repr(name)} is not supported{needs}; "
            f"this engine runs {', '.join(ARCHITECTURES)}"
        )
    return architecture
