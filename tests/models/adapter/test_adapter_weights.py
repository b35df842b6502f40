"""`adapter_model.safetensors`: what a whole one gives, and one sentence for every way to be broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.errors import ModelFileError
from pennyweight.models.adapter.files import AdapterFiles, content_identity
from pennyweight.models.adapter.targets import adapter_targets
from pennyweight.models.adapter.weights import read_parts
from tests.models.adapter.tiny_adapter import RANK, adapter_tensors, module_shapes, write_adapter
from tests.models.described import Table, describe, plain, table
from tests.models.tiny import llama_shape
from tests.models.tiny_encoder import safetensors_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pennyweight.models.adapter.targets import AdapterTargets
    from pennyweight.models.adapter.weights import LowRankPart

SHAPE = llama_shape()
DOWN = "base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"
UP = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight"


def parts_of(folder: Path) -> list[LowRankPart]:
    return list(read_parts(AdapterFiles.of(folder), targets()))


def targets() -> AdapterTargets:
    return adapter_targets(describe(SHAPE), Table(plain(SHAPE), table(SHAPE)))


def test_every_module_is_found(tmp_path: Path) -> None:
    parts = parts_of(write_adapter(tmp_path, SHAPE, lora_alpha=3))
    assert len(parts) == 7 * SHAPE.num_layers
    assert {(part.rank, part.scale, part.type) for part in parts} == {(RANK, 3 / RANK, "BF16")}
    for part in parts:
        assert len(part.down) == 2 * RANK * part.target.columns
        assert len(part.up) == 2 * RANK * part.target.rows


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_every_float_type_is_read(tmp_path: Path, kind: str) -> None:
    tensors = adapter_tensors(module_shapes(SHAPE), kind=kind)
    parts = parts_of(write_adapter(tmp_path, SHAPE, tensors=tensors))
    assert {part.type for part in parts} == {kind}


def test_some_modules_are_enough(tmp_path: Path) -> None:
    modules = {name: sizes for name, sizes in module_shapes(SHAPE).items() if name.endswith("1.mlp.up_proj")}
    (part,) = parts_of(write_adapter(tmp_path, SHAPE, tensors=adapter_tensors(modules)))
    assert (part.target.layer, part.target.part) == (1, "up")


def _without(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.pop(name)


def _as(kind: str, shape: tuple[int, ...], *, of: str = UP) -> Callable[[dict[str, Any]], None]:
    width = {"F64": 8, "F32": 4}.get(kind, 2)
    return lambda tensors: tensors.update({of: (kind, shape, bytes(width * int(np.prod(shape))))})


def _named(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda tensors: tensors.update({name: tensors.pop(UP)})


def _holding(value: float, kind: str) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        values = np.full((SHAPE.d_ff, RANK), 1.0, np.float32)
        values[7, 2] = value
        if kind == "BF16":
            data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        else:
            data = values.astype({"F16": np.float16, "F32": np.float32}[kind]).tobytes()
        tensors[UP] = (kind, values.shape, data)
        tensors[DOWN] = (kind, (RANK, SHAPE.d_model), bytes({"F32": 4}.get(kind, 2) * RANK * SHAPE.d_model))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (dict.clear, "it has no tensors"),
        (_without(UP), "lora_B of 'model.layers.0.mlp.up_proj' is missing"),
        (_without(DOWN), "lora_A of 'model.layers.0.mlp.up_proj' is missing"),
        (_as("BF16", (SHAPE.d_ff, 8)), f"has the shape ({SHAPE.d_ff}, 8)"),
        (_as("BF16", (SHAPE.d_ff + 1, RANK)), "it was trained for another model"),
        (_as("BF16", (RANK, 32), of=DOWN), f"ask for ({RANK}, {SHAPE.d_model})"),
        (_as("F64", (SHAPE.d_ff, RANK)), "has the type F64; expected F32, F16 or BF16"),
        (_as("F32", (SHAPE.d_ff, RANK)), "save both alike"),
        (_named("base_model.model.lm_head.weight"), "is no part of a LoRA of linear layers"),
        (_named(UP.replace("lora_B", "lora_magnitude_vector")), "is no part of a LoRA"),
        (_named("base_model.model.model.embed_tokens.lora_embedding_B"), "is no part of a LoRA"),
        *(
            (_holding(value, kind), "not finite")
            for value in (np.nan, np.inf, -np.inf)
            for kind in ("F32", "F16", "BF16")
        ),
    ],
)
def test_one_sentence_says_what_is_wrong(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], said: str
) -> None:
    tensors: dict[str, Any] = adapter_tensors(module_shapes(SHAPE))
    change(tensors)
    with pytest.raises(ModelFileError) as caught:
        parts_of(write_adapter(tmp_path / "poet", SHAPE, tensors=tensors))
    assert said in caught.value.message
    assert caught.value.message.startswith("the adapter poet: ")


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_the_largest_numbers_are_finite(tmp_path: Path, kind: str) -> None:
    tensors: dict[str, Any] = adapter_tensors(module_shapes(SHAPE))
    _holding(-65504.0 if kind == "F16" else -(2.0**127), kind)(tensors)
    parts_of(write_adapter(tmp_path, SHAPE, tensors=tensors))


@pytest.mark.parametrize("module", ["layers.2.mlp.up_proj", "layers.0.mlp.gate", "layers.0.mlp.experts.1.up"])
def test_a_module_the_model_lacks(tmp_path: Path, module: str) -> None:
    tensors = adapter_tensors({module: (SHAPE.d_ff, SHAPE.d_model)})
    with pytest.raises(
        ModelFileError, match=f"it adapts '{module}', which cannot be adapted in this model of 2"
    ):
        parts_of(write_adapter(tmp_path, SHAPE, tensors=tensors))


def test_a_truncated_file(tmp_path: Path) -> None:
    whole = safetensors_bytes(dict(adapter_tensors(module_shapes(SHAPE))))
    write_adapter(tmp_path, SHAPE)
    for length in (0, 7, 100, len(whole) - 1):
        (tmp_path / "adapter_model.safetensors").write_bytes(whole[:length])
        with pytest.raises(ModelFileError, match=r"adapter_model\.safetensors"):
            parts_of(tmp_path)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"has no adapter_config\.json; give the folder that"):
        AdapterFiles.of(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"pickled")
    with pytest.raises(ModelFileError, match=r"no adapter_model\.safetensors"):
        AdapterFiles.of(tmp_path)


def test_equal_contents_have_one_identity(tmp_path: Path) -> None:
    folders = [
        write_adapter(tmp_path / name, SHAPE, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    first, second, third = (content_identity(AdapterFiles.of(folder)) for folder in folders)
    assert first == second != third
    config = json.loads((folders[1] / "adapter_config.json").read_text())
    (folders[1] / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 1}))
    assert content_identity(AdapterFiles.of(folders[1])) != first
