"""Which files of a repository make a model that this machine can use. Decided from names and sizes alone.

Of GGUF files the default is Q4_K_M, what most people take: 4.8 bits a weight, little loss. Where there is
none it is the next type of `DEFAULT_TYPES`; where it does not fit the memory, the largest that does. Without
GGUF files it is the folder of safetensors files. Pickled weights (`*.bin`, `*.pt`) are never fetched: to
read them is to run them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pennyweight.errors import FetchError
from pennyweight.models.block_types import BLOCK_TYPES
from pennyweight.models.gguf import model_stem, shard_paths
from pennyweight.models.huggingface.shards import (
    CONSOLIDATED_FILE,
    CONSOLIDATED_INDEX,
    INDEX_FILE,
    WEIGHTS_FILE,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pennyweight.models.hub import HubFile, HubRepository

DEFAULT_TYPES: Final = (
    *("Q4_K_M", "Q4_0", "Q4_1", "Q4_K_S", "IQ4_NL", "IQ4_XS"),
    *("Q5_K_M", "Q5_K_S", "Q5_0", "Q5_1", "Q6_K", "Q8_0"),
    *("Q3_K_L", "Q3_K_M", "Q3_K_S", "Q2_K", "BF16", "F16", "F32"),
)
SAFETENSORS: Final = "safetensors"
_BESIDE_BYTES: Final = 512 * 2**20  # what program and context need beside the weights, roughly
_TYPE: Final = re.compile(r"(?i)(?<![A-Za-z0-9])(I?Q\d(?:_[A-Z0-9]+)*|B?F16|FP16|F32)(?![A-Za-z0-9])")
_NOT_MODELS: Final = ("*mmproj*", "*imatrix*", "*.lora.*", "*-vocab.gguf")
_OPENED: Final = (INDEX_FILE, WEIGHTS_FILE, CONSOLIDATED_INDEX, CONSOLIDATED_FILE)
_INDEX_ENDING: Final = ".safetensors.index.json"
_BESIDE_WEIGHTS: Final = (
    *("config.json", "params.json", "generation_config.json", "LICENSE*", "NOTICE*"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("tokenizer.model", "tokenizer.model.v?", "tekken.json", "vocab.json", "vocab.txt", "merges.txt"),
    *("chat_template.jinja", "chat_template.json"),
    *("modules.json", "sentence_bert_config.json", "1_Pooling/config.json"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One GGUF model of a repository, split or not. `type` is what its name says, or empty."""

    name: str  # of the first file
    type: str
    files: tuple[HubFile, ...]

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The files to fetch, and in words why these."""

    form: Literal["gguf", "safetensors"]
    files: tuple[HubFile, ...]
    reason: str

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)


def gguf_variants(files: Sequence[HubFile]) -> list[Variant]:
    """The GGUF models among `files`, smallest first; a split one that lacks a file is left out."""
    named = {file.name: file for file in files if file.name.endswith(".gguf")}
    found = []
    for name in named:
        shards = [str(path) for path in shard_paths(Path(name))]
        if shards[0] != name or any(fnmatchcase(Path(name).name.lower(), no) for no in _NOT_MODELS):
            continue
        if all(shard in named for shard in shards):
            whole = tuple(named[shard] for shard in shards)
            found.append(Variant(name=name, type=_type(name), files=whole))
    return sorted(found, key=lambda variant: (variant.num_bytes, variant.name))


def choose(repository: HubRepository, wanted: str | None, *, memory_bytes: int) -> Choice:
    """What to fetch for `wanted`: a file, a type, "safetensors", or None. FetchError lists what there is."""
    variants = gguf_variants(repository.files)
    if wanted is None:
        if variants:
            return _default(repository, variants, memory_bytes)
        return Choice(form="safetensors", files=_folder(repository), reason="the safetensors files")
    if wanted == SAFETENSORS or wanted.endswith(".safetensors"):
        return Choice(form="safetensors", files=_folder(repository), reason="the safetensors files")
    matching = [
        variant
        for variant in variants
        if wanted in {file.name for file in variant.files} or wanted.upper() == variant.type
    ]
    if len(matching) != 1:
        problem = "has no" if not matching else "has several"
        raise FetchError(
            f"{repository.repo} {problem} {wanted}; it has {_listed(repository, matching or variants)}"
        )
    return Choice(form="gguf", files=matching[0].files, reason="as asked for")


def _default(repository: HubRepository, variants: list[Variant], memory_bytes: int) -> Choice:
    room = max(0, memory_bytes - _BESIDE_BYTES)
    usual = [variant for variant in variants if variant.type in DEFAULT_TYPES and _is_read(variant.type)]
    usual.sort(key=lambda variant: DEFAULT_TYPES.index(variant.type))
    if not usual:
        if len(variants) == 1:
            return Choice(form="gguf", files=variants[0].files, reason="the only GGUF file")
        raise FetchError(f"name one of the files of {repository.repo}: {_listed(repository, variants)}")
    first = usual[0]
    if first.num_bytes <= room:
        words = "the usual choice" if first.type == DEFAULT_TYPES[0] else f"there is no {DEFAULT_TYPES[0]}"
        return Choice(form="gguf", files=first.files, reason=f"{first.type}: {words}, and it fits the memory")
    fitting = [variant for variant in usual if variant.num_bytes <= room]
    if not fitting:
        least = min(usual, key=lambda variant: variant.num_bytes)
        raise FetchError(
            f"no file of {repository.repo} fits the {memory_bytes / 1e9:.1f} GB of memory available: the "
            f"smallest, {least.name}, has {least.num_bytes / 1e9:.1f} GB; name one to fetch it all the same"
        )
    largest = max(fitting, key=lambda variant: variant.num_bytes)
    reason = f"{largest.type}: the largest that fits the memory, which {first.type} does not"
    return Choice(form="gguf", files=largest.files, reason=reason)


def _folder(repository: HubRepository) -> tuple[HubFile, ...]:
    """The files of the top folder that a safetensors model consists of."""
    named = {file.name: file for file in repository.files if "/" not in file.name}
    named |= {file.name: file for file in repository.files if file.name in _BESIDE_WEIGHTS}
    opened = next((one for one in _OPENED if one in named and settings_of(Path(one)).name in named), None)
    if opened is None:
        raise FetchError(_no_model(repository))
    weights: list[str] = [opened]
    if opened.endswith(_INDEX_ENDING):
        stem = opened.removesuffix(_INDEX_ENDING)
        weights += [name for name in named if fnmatchcase(name, f"{stem}-*-of-*.safetensors")]
    beside = [name for name in named if any(fnmatchcase(name, one) for one in _BESIDE_WEIGHTS)]
    return tuple(named[name] for name in sorted({*weights, *beside}))


def _no_model(repository: HubRepository) -> str:
    pickled = [file.name for file in repository.files if file.name.endswith((".bin", ".pt", ".pth", ".ckpt"))]
    if pickled:
        return (
            f"{repository.repo} has its weights as pickles alone ({pickled[0]}), which can run code when "
            "they are read; choose a repository with safetensors or GGUF files"
        )
    return f"{repository.repo} has neither GGUF files nor model.safetensors with a config.json"


def _type(name: str) -> str:
    found = _TYPE.findall(model_stem(Path(name)))
    return found[-1].upper() if found else ""


def _is_read(type: str) -> bool:
    """Whether the engine computes the blocks that most of a file of this type consists of."""
    block = type[: -len("_M")] if type.endswith(("_S", "_M", "_L")) else type
    return block in {known.name for known in BLOCK_TYPES.values()}


def _listed(repository: HubRepository, variants: list[Variant]) -> str:
    if not variants:
        names = ", ".join(sorted(file.name for file in repository.files)[:12])
        return f"no GGUF model, but {names}" if names else "no files"
    return ", ".join(f"{variant.name} ({variant.num_bytes / 1e9:.2f} GB)" for variant in variants)
