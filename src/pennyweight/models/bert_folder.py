"""A BERT encoder as a folder: `model.safetensors`, `config.json` and what sentence-transformers adds to them.

`modules.json`, the pooling's `config.json` and `sentence_bert_config.json` are read where they are; without
them the vector is the mean over the text, as sentence-transformers itself assumes.
"""

from __future__ import annotations

import re
import reprlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal

from pennyweight.errors import ModelFileError
from pennyweight.models.bert import NAME, EncoderNames, EncoderSpec, Stored
from pennyweight.models.huggingface.shards import WEIGHTS_FILE
from pennyweight.models.hyperparameters import MAX_DIMENSION
from pennyweight.models.json_file import read_json
from pennyweight.models.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_PLAIN_NAME: Final = re.compile(r"[A-Za-z0-9_]+")

_NAMES: Final = EncoderNames(
    embedding="embeddings.word_embeddings",
    positions="embeddings.position_embeddings",
    token_types="embeddings.token_type_embeddings",
    embedding_norm="embeddings.LayerNorm",
    layer="encoder.layer.{}.",
    query="attention.self.query",
    key="attention.self.key",
    value="attention.self.value",
    output="attention.output.dense",
    attention_norm="attention.output.LayerNorm",
    up="intermediate.dense",
    down="output.dense",
    output_norm="output.LayerNorm",
    unused=("embeddings.position_ids", "pooler.dense.weight", "pooler.dense.bias"),
)


def inspect_folder(folder: Path) -> tuple[EncoderSpec, tuple[str, ...]]:
    """The encoder of a folder, and the types of its weights, the one with most bytes first."""
    with SafetensorsFile.open(folder / WEIGHTS_FILE) as file:
        spec = describe_folder(folder, file.tensors)
        sizes: Counter[str] = Counter()
        for tensor in file.tensors.values():
            if len(tensor.shape) > 1 and ".layer." in tensor.name:
                sizes[tensor.type] += tensor.nbytes
    return spec, tuple(name for name, _ in sizes.most_common())


def names_in(tensors: Mapping[str, Stored]) -> EncoderNames:
    """The names as they are in a file: some models were saved with `bert.` in front."""
    prefix = "" if f"{_NAMES.embedding}.weight" in tensors else "bert."
    return replace(
        _NAMES,
        embedding=prefix + _NAMES.embedding,
        positions=prefix + _NAMES.positions,
        token_types=prefix + _NAMES.token_types,
        embedding_norm=prefix + _NAMES.embedding_norm,
        layer=prefix + _NAMES.layer,
        unused=tuple(prefix + name for name in _NAMES.unused),
    )


def describe_folder(folder: Path, tensors: Mapping[str, Stored]) -> EncoderSpec:
    """The encoder `config.json` and its companions describe; ModelFileError names what it cannot be."""
    config = _Config(folder / "config.json")
    config.only("model_type", "bert")
    config.only("hidden_act", "gelu")
    config.only("position_embedding_type", "absolute", None)
    config.only("is_decoder", False, None)
    config.only("add_cross_attention", False, None)
    num_positions = config.integer("max_position_embeddings")
    window = num_positions
    limits = folder / "sentence_bert_config.json"
    if limits.exists():
        window = min(_Config(limits).integer("max_seq_length", default=window), num_positions)
    spec = EncoderSpec(
        architecture=NAME,
        vocab_size=config.integer("vocab_size"),
        d_model=config.integer("hidden_size"),
        num_heads=config.integer("num_attention_heads"),
        d_ff=config.integer("intermediate_size"),
        num_layers=config.integer("num_hidden_layers", high=max(len(tensors), 1)),
        num_positions=num_positions,
        num_token_types=config.integer("type_vocab_size"),
        window=window,
        norm_eps=config.number("layer_norm_eps"),
        pooling=_pooling(folder),
    )
    spec.check()
    return spec


def _pooling(folder: Path) -> Literal["mean", "first"]:
    """From the modules sentence-transformers runs; one that changes vectors in another way is refused."""
    if not (folder / "modules.json").exists():
        return "mean"
    modules = read_json(folder / "modules.json")
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ModelFileError(f"{folder / 'modules.json'} is not a list of modules")
    pooling: Literal["mean", "first"] = "mean"
    for module in modules:
        kind, path = str(module.get("type")).rpartition(".")[2], str(module.get("path"))
        if kind == "Pooling" and _PLAIN_NAME.fullmatch(path):
            pooling = _pooling_of(folder / path / "config.json")
        elif kind not in ("Transformer", "Normalize"):
            raise ModelFileError(
                f"the module {reprlib.repr(module.get('type'))} is not supported; use another model"
            )
    return pooling


def _pooling_of(path: Path) -> Literal["mean", "first"]:
    config = read_json(path)
    modes = {key for key, value in config.items() if key.startswith("pooling_mode_") and value is True}
    if modes == {"pooling_mode_mean_tokens"}:
        return "mean"
    if modes == {"pooling_mode_cls_token"}:
        return "first"
    raise ModelFileError(f"{path}: pooling by {', '.join(sorted(modes)) or 'nothing'} is not supported")


class _Config:
    """Typed access to a `config.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        values = read_json(path)
        if not isinstance(values, dict):
            raise ModelFileError(f"{path} is not a JSON object")
        self._values = values

    def integer(self, key: str, *, default: int | None = None, high: int = MAX_DIMENSION) -> int:
        value = self._values.get(key, default)
        if type(value) is not int or not 1 <= value <= high:
            raise self._fail(key, value, f"an integer from 1 to {high}")
        return value

    def number(self, key: str) -> float:
        value: Any = self._values.get(key)
        if type(value) not in (int, float) or not 1e-15 <= value <= 1.0:
            raise self._fail(key, value, "a number from 1e-15 to 1")
        return float(value)

    def only(self, key: str, *allowed: object) -> None:
        value = self._values.get(key)
        if value not in allowed:
            raise self._fail(key, value, " or ".join(map(repr, allowed)))

    def _fail(self, key: str, value: object, expected: str) -> ModelFileError:
        return ModelFileError(f"{self._path.name}: {key} is {reprlib.repr(value)}; expected {expected}")
