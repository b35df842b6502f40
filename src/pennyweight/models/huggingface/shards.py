"""The safetensors files of a folder, one or many: which there are, and which holds each tensor.

A folder is named by the file that leads to its weights: `model.safetensors`, or the index of several; where
Mistral's own kind stands alone, `consolidated.safetensors` or its index.
Format of the index: https://huggingface.co/docs/transformers/big_models#sharded-checkpoints
"""

from __future__ import annotations

import re
import reprlib
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.json_file import parse_json, read_small_file
from pennyweight.models.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from contextlib import ExitStack
    from pathlib import Path

WEIGHTS_FILE: Final = "model.safetensors"
INDEX_FILE: Final = "model.safetensors.index.json"
CONSOLIDATED_FILE: Final = "consolidated.safetensors"
CONSOLIDATED_INDEX: Final = "consolidated.safetensors.index.json"
FOLDER_FILES: Final = (WEIGHTS_FILE, INDEX_FILE, CONSOLIDATED_FILE, CONSOLIDATED_INDEX)
"""The first of them that is there stands for the folder."""
_SHARD_NAME: Final = re.compile(r"[\w.-]+\.safetensors", re.ASCII)
_MAX_SHARDS: Final = 1000


def is_folder(path: Path) -> bool:
    """Whether `path` stands for a folder."""
    return path.name in FOLDER_FILES


def is_consolidated(path: Path) -> bool:
    """Whether `path` stands for a folder of Mistral's own kind."""
    return path.name in (CONSOLIDATED_FILE, CONSOLIDATED_INDEX)


def settings_of(path: Path) -> Path:
    """The file with the sizes of the model that `path` stands for."""
    return path.with_name("params.json" if is_consolidated(path) else "config.json")


def weights_of(folder: Path) -> Path | None:
    """The file that stands for `folder`, None if it is no model.

    ModelFileError if there are weights, of a kind that is not read.
    """
    for name in FOLDER_FILES:
        if (folder / name).is_file():
            return folder / name
    if not (folder / "config.json").is_file():
        return None
    pickled = sorted(path.name for pattern in ("*.bin", "*.pt", "*.pth") for path in folder.glob(pattern))
    if pickled:
        raise ModelFileError(
            f"{folder}: its weights are pickled ({pickled[0]}), and loading a pickle runs what is in it; "
            "get the model as safetensors or GGUF"
        )
    raise ModelFileError(f"{folder}: there is neither {WEIGHTS_FILE} nor {INDEX_FILE}")


def shard_files(path: Path) -> list[Path]:
    """The files with weights of the folder that `path` stands for. Raises ModelFileError."""
    if path.name not in (INDEX_FILE, CONSOLIDATED_INDEX):
        return [path]
    return [path.with_name(name) for name in sorted(set(_weight_map(path).values()))]


def open_shards(path: Path, opened: ExitStack) -> dict[str, SafetensorsFile]:
    """The file of every tensor; `opened` closes them. Raises ModelFileError."""
    expected = _weight_map(path) if path.name in (INDEX_FILE, CONSOLIDATED_INDEX) else None
    holders: dict[str, SafetensorsFile] = {}
    for shard in shard_files(path):
        if not shard.is_file():
            raise ModelFileError(f"{path.name}: it names the file {shard.name}, which is not there")
        file = opened.enter_context(SafetensorsFile.open(shard))
        for name in file.tensors:
            if name in holders:
                raise ModelFileError(f"{shard.name}: {holders[name].path.name} has a tensor {name!r} too")
            if expected is not None and expected.pop(name, None) != shard.name:
                raise ModelFileError(f"{shard.name}: the index does not say that tensor {name!r} is here")
            holders[name] = file
    for name, shard_name in (expected or {}).items():
        raise ModelFileError(f"{path.name}: it names the tensor {name!r}, which {shard_name} does not have")
    return holders


def _weight_map(path: Path) -> dict[str, str]:
    """File names by tensor."""
    index: Any = parse_json(read_small_file(path), path)
    found = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(found, dict) or not found:
        raise ModelFileError(f"{path.name}: there is no table 'weight_map'")
    for name in found.values():
        if not isinstance(name, str) or not _SHARD_NAME.fullmatch(name):
            raise ModelFileError(
                f"{path.name}: it names the file {reprlib.repr(name)}; "
                "expected names in this folder that end in .safetensors"
            )
    if len(set(found.values())) > _MAX_SHARDS:
        raise ModelFileError(f"{path.name}: it names more than {_MAX_SHARDS} files")
    return found
