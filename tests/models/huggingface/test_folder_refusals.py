"""What a folder may not be: damaged, incomplete, of a kind this engine does not compute."""

from __future__ import annotations

import json
import os
import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pennyweight.errors import ModelFileError
from pennyweight.models.huggingface.families import translate
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from tests.models.huggingface.tiny_folder import folder_config, folder_tensors, write_folder, write_weights
from tests.models.tiny import gemma_shape, llama_shape

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = llama_shape(kind="F16", kinds={}, num_layers=1)
TENSORS = folder_tensors(SHAPE)
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def refuse(folder: Path, saying: str) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ModelFileError, match=saying):
        load(resolve(folder))
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        (
            {"architectures": ["MambaForCausalLM"]},
            r"'MambaForCausalLM' is not supported; this engine runs Llama",
        ),
        ({"architectures": None}, "None is not supported"),
        ({"hidden_size": "64"}, r"config\.json\.hidden_size is '64'; expected an integer"),
        ({"num_hidden_layers": None}, r"num_hidden_layers is missing"),
        ({"num_hidden_layers": 2}, r"'blk\.1\..*' is missing"),
        ({"hidden_act": "relu"}, r"hidden_act is 'relu'; expected 'silu'"),
        ({"pretraining_tp": 2}, "pretraining_tp is 2"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantization_config is set .* not compute"),
        ({"a_key_of_tomorrow": 1}, r"a_key_of_tomorrow is set"),
        (
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "rope_type is 'dynamic'; expected default, linear",
        ),
        ({"rope_scaling": {"type": "linear"}}, "factor is missing"),
        ({"rope_scaling": {"type": "linear", "factor": 2.0, "extra": 1}}, r"rope_parameters\.extra is set"),
        ({"rope_scaling": "linear"}, "expected an object"),
        (
            {"rope_parameters": {"rope_type": "llama3", **LLAMA3}},
            "original_max_position_embeddings is missing",
        ),
        (
            {"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0], "long_factor": []}},
            "original_max_position_embeddings is missing",
        ),
        ({"rope_scaling": {"type": "yarn", "factor": 2.0, "truncate": False}}, "truncate is False"),
        ({"vocab_size": 9}, "vocab_size is 9"),
        ({"num_attention_heads": 3}, r"attention\.head_count_kv is 2"),
        ({"tie_word_embeddings": False}, r"'lm_head\.weight' is missing"),
    ],
)
def test_configurations(tmp_path: Path, changes: dict[str, Any], saying: str) -> None:
    refuse(write_folder(tmp_path / "odd", SHAPE, **changes), saying)


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"query_pre_attn_scalar": 7}, "query_pre_attn_scalar is 7; expected 32"),
        ({"layer_types": ["linear_attention"] * 7}, "layer_types"),
        ({"sliding_window_pattern": 0}, "sliding_window_pattern is 0"),
        ({"final_logit_softcapping": 30.0}, "final_logit_softcapping is 30.0"),
        ({"use_bidirectional_attention": True}, "use_bidirectional_attention is True"),
    ],
)
def test_gemma_configurations(changes: dict[str, Any], saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        translate(folder_config(gemma_shape(), **changes))


def test_weights_of_other_kinds(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", SHAPE)
    name = "model.layers.0.mlp.up_proj.weight"
    _, shape, data = TENSORS[name]
    write_weights(folder, {**TENSORS, name: ("F8_E4M3", shape, data[: len(data) // 2])})
    refuse(folder, r"'blk\.0\.ffn_up\.weight' has the type F8_E4M3; this engine reads")
    write_weights(folder, {**TENSORS, name: ("F4", shape, data[: len(data) // 4])})
    refuse(folder, "unknown type 'F4'")
    write_weights(folder, {**TENSORS, "model.layers.0.mlp.extra.weight": TENSORS[name]})
    refuse(folder, r"'model\.layers\.0\.mlp\.extra\.weight' has no part")
    write_weights(folder, {key: value for key, value in TENSORS.items() if key != name})
    refuse(folder, r"'blk\.0\.ffn_up\.weight' is missing")
    write_weights(folder, {**TENSORS, name: ("F16", (shape[1], shape[0]), data)})
    refuse(folder, "has the shape")
    write_weights(folder, {**TENSORS, "model.layers.00.mlp.up_proj.weight": TENSORS[name]})
    refuse(folder, "are the same part")


def test_frequencies_that_old_files_hold_are_left_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", SHAPE)
    write_weights(
        folder, {**TENSORS, "model.layers.0.self_attn.rotary_emb.inv_freq": ("F32", (8,), bytes(32))}
    )
    assert load(resolve(folder)).spec.num_layers == 1


def test_shards(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", SHAPE, shards=3)
    index = folder / "model.safetensors.index.json"
    sound = json.loads(index.read_text())
    second = folder / "model-00002-of-00003.safetensors"
    whole = second.read_bytes()
    second.write_bytes(whole[:-5])
    refuse(folder, "model-00002-of-00003.*it is truncated or damaged")
    second.unlink()
    refuse(folder, "it names the file model-00002-of-00003.safetensors, which is not there")
    second.write_bytes(whole)
    places = sound["weight_map"]
    name = next(iter(places))
    for weight_map, saying in (
        ({**places, "model.more": places[name]}, "names the tensor 'model.more', which"),
        ({k: v for k, v in places.items() if k != name}, "does not say that tensor"),
        ({**places, name: "../secret.safetensors"}, "expected names in this folder"),
        ({**places, name: "pytorch_model.bin"}, "expected names in this folder"),
        ({**places, name: 5}, "expected names in this folder"),
        ({f"{i}": f"{i}.safetensors" for i in range(1001)}, "more than 1000 files"),
        ({}, "no table 'weight_map'"),
    ):
        index.write_text(json.dumps({"weight_map": weight_map}))
        refuse(folder, saying)
    index.write_text(json.dumps(sound))
    shutil.copy(second, folder / "model-00001-of-00003.safetensors")
    refuse(folder, "does not say that tensor")


def test_experts(tmp_path: Path) -> None:
    folder = write_folder(
        tmp_path / "a",
        SHAPE,
        architectures=["MixtralForCausalLM"],
        num_local_experts=2,
        num_experts_per_tok=1,
    )
    _, shape, data = TENSORS["model.layers.0.mlp.up_proj.weight"]
    names = [f"model.layers.0.block_sparse_moe.experts.{expert}.w1.weight" for expert in (0, 2)]
    write_weights(folder, {**TENSORS, names[0]: ("F16", shape, data), names[1]: ("F16", shape, data)})
    refuse(folder, "of expert 1 there is no tensor")


def test_pickled_weights_are_refused_by_name(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", SHAPE)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelFileError, match=r"pickled \(pytorch_model.bin\).*safetensors or GGUF"):
        resolve(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelFileError, match=r"neither model\.safetensors nor"):
        resolve(folder)


def test_small_files_that_are_none(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "a", SHAPE)
    for data, saying in ((b"[1]", "not a JSON object"), (b"{", "not JSON"), (b"[" * 100_000, "not JSON")):
        (folder / "config.json").write_bytes(data)
        refuse(folder, saying)
    (folder / "config.json").unlink()
    refuse(folder, "cannot be read")
    os.mkfifo(folder / "config.json")
    refuse(folder, "not a regular file")


@given(data=st.data())
def test_a_damaged_folder_is_an_error_or_a_model(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "damaged"
    if not folder.exists():
        write_folder(folder, SHAPE, shards=2)
    name = data.draw(st.sampled_from(sorted(path.name for path in folder.iterdir())))
    sound = (folder / name).read_bytes()
    noise = random.Random(data.draw(st.integers(0, 2**32)))
    damaged = bytearray(sound[: data.draw(st.one_of(st.just(len(sound)), st.integers(0, len(sound))))])
    for _ in range(data.draw(st.integers(0, 6))):
        if damaged:
            damaged[noise.randrange(min(len(damaged), 4096))] = noise.randrange(256)
    try:
        (folder / name).write_bytes(damaged)
        try:
            load(resolve(folder))
        except ModelFileError as error:
            assert str(error)  # noqa: PT017
    finally:
        (folder / name).write_bytes(sound)


@given(
    st.dictionaries(
        st.sampled_from(sorted(folder_config(SHAPE))),
        st.one_of(
            st.none(),
            st.integers(),
            st.floats(),
            st.text(),
            st.lists(st.integers()),
            st.dictionaries(st.text(), st.integers()),
        ),
        max_size=4,
    )
)
def test_hostile_configurations_are_refused_or_read(changes: dict[str, Any]) -> None:
    try:
        translate(folder_config(SHAPE) | changes)
    except ModelFileError as error:
        assert str(error)  # noqa: PT017
