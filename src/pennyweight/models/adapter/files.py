"""The two files of an adapter as PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint. Pickled weights are not read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from pennyweight.errors import ModelFileError
from pennyweight.models.json_file import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CONFIG_FILE: Final = "adapter_config.json"
WEIGHTS_FILE: Final = "adapter_model.safetensors"
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFiles:
    """`config` as the JSON file has it, `weights` a safetensors file under any name; `name` is for errors."""

    name: str
    config: Mapping[str, Any]
    weights: Path

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Those of a folder. Raises ModelFileError if it holds none."""
        weights = folder / WEIGHTS_FILE
        for path in (folder / CONFIG_FILE, weights):
            if not path.is_file():
                raise ModelFileError(
                    f"{folder} is no adapter: it has no {path.name}; give the folder that PEFT saved"
                )
        return cls(name=folder.absolute().name, config=read_object(folder / CONFIG_FILE), weights=weights)


def content_identity(files: AdapterFiles) -> str:
    """SHA-256 (hex) of what the adapter computes with: the configuration's values and the weights' bytes."""
    digest = hashlib.sha256(json.dumps(files.config, sort_keys=True).encode())
    try:
        with files.weights.open("rb") as file:
            while piece := file.read(_READ_BYTES):
                digest.update(piece)
    except OSError as error:
        raise ModelFileError(f"{files.weights} cannot be read: {error.strerror}") from error
    return digest.hexdigest()
