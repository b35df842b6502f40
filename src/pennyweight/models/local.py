"""Models on this machine: what is installed, which file a name means, how to remove one."""

from __future__ import annotations

import difflib
import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pennyweight.errors import ModelFileError, ModelNotFoundError
from pennyweight.models.architectures import ARCHITECTURES
from pennyweight.models.bert import NAME as ENCODER
from pennyweight.models.cache import models_folder
from pennyweight.models.catalog import CATALOG, entry_of_file
from pennyweight.models.gguf import GGUFFile, model_stem, shard_paths
from pennyweight.models.huggingface.shards import FOLDER_FILES, is_folder, settings_of, weights_of
from pennyweight.models.pulled import forget_pulled, read_pulled
from pennyweight.models.recommended import RECOMMENDED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.models.gguf import TensorInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledModel:
    """One file of the cache folder. `problem` is set, and what it hides is empty, if it cannot be run.

    `types` are the storage types of the layers' matrices, the one with most bytes first. `num_bytes` counts
    all files of a split model. `source` is where it came from, if that is known: the address that was pulled,
    "catalog", or the path of one that lies elsewhere.
    """

    name: str
    path: Path
    num_bytes: int
    types: tuple[str, ...] = ()
    architecture: str = ""
    context_length: int = 0
    problem: str | None = None
    source: str = ""


def model_name(path: Path) -> str:
    """What a model file is called: its catalog name, else its file name without ending and shard number.

    A file of the kind that has its folder to itself is called like the folder, and in Hugging Face's cache,
    where folders are called after revisions, like the repository.
    """
    if is_folder(path):
        folder = path.absolute().parent
        repository = folder.parent.parent.name
        cached = folder.parent.name == "snapshots" and repository.startswith("models--")
        return repository.rpartition("--")[2] if cached else folder.name
    entry = entry_of_file(path.name)
    return entry.name if entry is not None else model_stem(path)


def installed_models() -> list[InstalledModel]:
    """Everything in the cache folder, by name. Of a split model only the first file is listed."""
    return sorted(map(inspect, installed_paths().values()), key=lambda model: model.name)


def inspect(path: Path) -> InstalledModel:
    """What the model at `path` is, as far as its header tells."""
    pulled = read_pulled(model_name(path))
    found = _inspect_folder(path) if is_folder(path) else _inspect_file(path)
    return replace(found, source=_source(path) if pulled is None else pulled.source)


def _source(path: Path) -> str:
    """Of a model that was not pulled by an address."""
    link = path.parent if is_folder(path) else path
    if link.is_symlink():
        return str(link.resolve())
    return "catalog" if model_name(path) in CATALOG else ""


def resolve(name_or_path: str | os.PathLike[str]) -> Path:
    """The file behind a model's name, or the given path. ModelNotFoundError names the remedy."""
    text = os.fspath(name_or_path)
    path = Path(text).expanduser()
    if text.startswith("hf:"):
        raise ModelNotFoundError(
            f"get it with `penny pull {text}`, then use the name that says", param="model"
        )
    if text.endswith(".gguf") or os.sep in text:
        if path.is_dir() and (weights := weights_of(path)) is not None:
            return weights
        if not path.is_file():
            raise ModelNotFoundError(f"there is no model file {text}", param="model")
        return path
    names = installed_paths()
    if text in names:
        return names[text]
    if text in CATALOG or text in RECOMMENDED:
        problem = f"the model {text} is not installed; get it with `penny pull {text}`"
        raise ModelNotFoundError(problem, param="model")
    raise ModelNotFoundError(_unknown(text, [*names, *CATALOG, *RECOMMENDED]), param="model")


def remove(name: str) -> Path:
    """Delete an installed model with all its files; returns the first path. May raise ModelNotFoundError."""
    names = installed_paths()
    if name not in names:
        known = name in CATALOG or name in RECOMMENDED
        problem = f"the model {name} is not installed" if known else _unknown(name, list(names))
        raise ModelNotFoundError(problem, param="model")
    forget_pulled(name)
    if is_folder(names[name]):
        folder = names[name].parent
        if folder.is_symlink():  # registered: what it stands for stays
            folder.unlink()
        else:
            shutil.rmtree(folder)
        return folder
    for path in shard_paths(names[name]):
        path.unlink(missing_ok=True)
    return names[name]


def installed_paths() -> dict[str, Path]:
    """The file each installed model is opened by, by its name."""
    folder = models_folder()
    single = [path for path in sorted(folder.glob("*.gguf")) if _is_first(path)]
    # not in a hidden folder: that is a download under way
    grouped = [
        path
        for name in reversed(FOLDER_FILES)  # a folder that has both is read by the first
        for path in sorted(folder.glob(f"*/{name}"))
        if path.parent.name[0] != "."
    ]
    return {model_name(path): path for path in (*single, *grouped)}


def model_files(path: Path) -> list[Path]:
    """All files of the model that is opened by `path`."""
    if is_folder(path):
        return [file for file in path.parent.rglob("*") if file.is_file()]
    return [shard for shard in shard_paths(path) if shard.is_file()]


def _is_first(path: Path) -> bool:
    shards = shard_paths(path)
    return shards[0] == path


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"`penny pull` knows {', '.join(CATALOG)}"
    return f"there is no model {name!r}; {hint}"


def _inspect_file(path: Path) -> InstalledModel:
    num_bytes = sum(file.stat().st_size for file in model_files(path))
    name = model_name(path)
    try:
        with GGUFFile.open(path) as file:
            architecture = str(file.metadata.get("general.architecture", ""))
            runs = architecture in (*ARCHITECTURES, ENCODER)
            return InstalledModel(
                name=name,
                path=path,
                num_bytes=num_bytes,
                types=_types(file.tensors),
                architecture=architecture,
                context_length=_context_length(file.metadata, architecture),
                problem=None if runs else f"this engine does not run the architecture {architecture!r}",
            )
    except ModelFileError as error:
        return InstalledModel(name=name, path=path, num_bytes=num_bytes, problem=error.message)


def _inspect_folder(path: Path) -> InstalledModel:
    from pennyweight.models.bert_folder import inspect_folder
    from pennyweight.models.json_file import read_object
    from pennyweight.models.outline import described
    from pennyweight.models.source import open_source

    name = model_name(path)
    num_bytes = sum(file.stat().st_size for file in model_files(path))
    try:
        if read_object(settings_of(path)).get("model_type") == ENCODER:
            encoder, types = inspect_folder(path.parent)
            architecture, context_length = encoder.architecture, encoder.window
        else:
            with open_source(path) as source:
                spec, _ = described(source)
                types = _types(source.tensors)
            architecture, context_length = spec.architecture, spec.context_length
    except ModelFileError as error:
        return InstalledModel(name=name, path=path, num_bytes=num_bytes, problem=error.message)
    return InstalledModel(
        name=name,
        path=path,
        num_bytes=num_bytes,
        types=types,
        architecture=architecture,
        context_length=context_length,
    )


def _context_length(metadata: Mapping[str, Any], architecture: str) -> int:
    value = metadata.get(f"{architecture}.context_length")
    return value if type(value) is int else 0


def _types(tensors: Mapping[str, TensorInfo]) -> tuple[str, ...]:
    sizes: Counter[str] = Counter()
    for tensor in tensors.values():
        if tensor.name.startswith("blk.") and len(tensor.shape) > 1:
            sizes[tensor.type] += tensor.nbytes or 0
    return tuple(name for name, _ in sizes.most_common())
