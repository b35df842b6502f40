"""Mistral's own folders: the bits of the same weights as `transformers` keeps them, and its logits."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.reference_decoder import read_decoder
from pennyweight.errors import ModelFileError
from pennyweight.models.huggingface.consolidated import translate_params
from pennyweight.models.load import load
from pennyweight.models.local import inspect, resolve
from pennyweight.models.safetensors import SafetensorsFile
from pennyweight.native.reference import ReferenceDecoder
from pennyweight.text.tokenizer import Tokenizer
from tests.models.families import FAMILIES, torch_model
from tests.models.huggingface.tiny_folder import byte_level_files, write_folder
from tests.models.tiny import TinyShape, llama_shape, tiny_metadata
from tests.models.tiny_encoder import safetensors_bytes
from tests.native.native_decoders import Driver
from tests.text.folder_files import tekken_bytes

if TYPE_CHECKING:
    from pathlib import Path

VOCAB_SIZE = 265
TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, VOCAB_SIZE, 40)]
SHAPE = llama_shape(kind="F16", kinds={}, tied=False)
PARAMS: dict[str, Any] = {
    "dim": 64,
    "n_layers": 2,
    "head_dim": 16,
    "hidden_dim": 96,
    "n_heads": 4,
    "n_kv_heads": 2,
    "norm_eps": 1e-5,
    "vocab_size": VOCAB_SIZE,
    "rope_theta": 10_000.0,
}
_NAMES = (
    ("model.embed_tokens", "tok_embeddings"),
    ("model.norm", "norm"),
    ("lm_head", "output"),
    ("model.layers", "layers"),
    ("self_attn.q_proj", "attention.wq"),
    ("self_attn.k_proj", "attention.wk"),
    ("self_attn.v_proj", "attention.wv"),
    ("self_attn.o_proj", "attention.wo"),
    ("input_layernorm", "attention_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("block_sparse_moe", "feed_forward"),
    ("mlp.experts", "feed_forward.experts"),
    ("mlp.gate.", "feed_forward.gate."),
    ("mlp.gate_proj", "feed_forward.w1"),
    ("mlp.down_proj", "feed_forward.w2"),
    ("mlp.up_proj", "feed_forward.w3"),
)


def consolidated(folder: Path, into: Path, *, shards: int = 1, **params: Any) -> Path:
    """The folder as Mistral would publish it: rows that turn together next to each other.

    `transformers` came by its rows from these by `[heads, half, 2]` to `[heads, 2, half]`.
    """
    into.mkdir()
    stored: dict[str, Any] = {}
    with SafetensorsFile.open(folder / "model.safetensors") as file:
        for name, tensor in file.tensors.items():
            own, data = name, bytes(file.read(name))
            for usual, theirs in _NAMES:
                own = own.replace(usual, theirs)
            if "q_proj" in name or "k_proj" in name:
                rows = np.frombuffer(data, np.uint8).reshape(
                    -1, 2, PARAMS["head_dim"] // 2, len(data) // tensor.shape[0]
                )
                data = rows.swapaxes(1, 2).tobytes()
            stored[own] = (tensor.type, tensor.shape, data)
    places: dict[str, str] = {}
    for number in range(shards):
        name = "consolidated" if shards == 1 else f"consolidated-{number + 1:05}-of-{shards:05}"
        own_names = list(stored)[number::shards]
        (into / f"{name}.safetensors").write_bytes(safetensors_bytes({one: stored[one] for one in own_names}))
        places |= dict.fromkeys(own_names, f"{name}.safetensors")
    if shards > 1:
        (into / "consolidated.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    (into / "params.json").write_text(json.dumps(PARAMS | params))
    plain = {k: getattr(v, "value", v) for k, v in tiny_metadata(TinyShape()).items()}
    sizes = {"pattern": r"\w+|\W", "default_vocab_size": VOCAB_SIZE, "default_num_special_tokens": 4}
    (into / "tekken.json").write_bytes(tekken_bytes(plain, config=sizes))
    return resolve(into)


def scores(path: Path) -> np.ndarray:
    return np.asarray(Driver(load(path).model, vocab_size=VOCAB_SIZE).score(TOKENS))


@pytest.mark.parametrize("shards", [1, 2])
def test_mistrals_folder_is_that_of_transformers(shards: int, tmp_path: Path) -> None:
    usual = write_folder(
        tmp_path / "usual",
        SHAPE,
        architectures=["MistralForCausalLM"],
        sliding_window=24,
        max_position_embeddings=32_768,
    )
    path = consolidated(usual, tmp_path / "own", shards=shards, sliding_window=24)
    ours, theirs = load(path), load(resolve(usual))
    assert ours.spec == theirs.spec
    np.testing.assert_array_equal(scores(path), scores(resolve(usual)))
    assert Tokenizer.from_metadata(ours.metadata).vocab_size == VOCAB_SIZE
    found = inspect(path)
    assert (found.problem, found.architecture, found.name) == (None, "llama", "own")


@pytest.mark.parametrize("name", ["mistral", "mixtral"])
def test_logits_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is a development dependency")
    pytest.importorskip("transformers", reason="transformers is a development dependency")
    model = torch_model(FAMILIES[name], VOCAB_SIZE)
    model.save_pretrained(tmp_path / "usual")
    extra = {"moe": {"num_experts": 4, "num_experts_per_tok": 2}} if name == "mixtral" else {}
    window = FAMILIES[name].settings.get("sliding_window")
    path = consolidated(tmp_path / "usual", tmp_path / "own", sliding_window=window, **extra)
    with torch.inference_mode():
        theirs = model(torch.tensor([TOKENS]), use_cache=False).logits[0].numpy()
    spec, tensors = read_decoder(path)
    ours = ReferenceDecoder(spec, tensors, mode="float32").logits(TOKENS)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_both_kinds_in_one_folder_are_the_usual_one(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "usual", SHAPE)
    consolidated(folder, tmp_path / "own")
    for file in (tmp_path / "own").iterdir():
        file.rename(folder / file.name)
    assert resolve(folder).name == "model.safetensors"
    for name, value in byte_level_files().items():
        assert (folder / name).read_text() == json.dumps(value)
    assert load(resolve(folder)).spec.context_length == SHAPE.context_length


def test_images_are_left_out(tmp_path: Path) -> None:
    usual = write_folder(tmp_path / "usual", SHAPE)
    path = consolidated(usual, tmp_path / "own", vision_encoder={"hidden_size": 16})
    seen = scores(path)
    with SafetensorsFile.open(path) as file:
        stored: dict[str, Any] = {
            name: (tensor.type, tensor.shape, bytes(file.read(name))) for name, tensor in file.tensors.items()
        }
    path.write_bytes(safetensors_bytes(stored | {"vision_encoder.ln_pre.weight": ("F32", (1,), bytes(4))}))
    np.testing.assert_array_equal(scores(path), seen)


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"dim": None}, r"params\.json\.dim is missing"),
        ({"n_heads": "4"}, r"params\.json\.n_heads is '4'"),
        ({"sliding_window": [4096, None]}, r"sliding_window is \[4096, None\]"),
        ({"quantization": {"qformat_weight": "fp8_e4m3"}}, r"params\.json\.quantization is set"),
        ({"q_lora_rank": 8}, r"params\.json\.q_lora_rank is set"),
        ({"model_type": "mamba", "n_heads": None}, r"model_type is 'mamba'"),
        ({"moe": 5}, "moe is 5; expected an object"),
        ({"moe": {"num_experts": 4}}, r"moe\.num_experts_per_tok is missing"),
        ({"moe": {"num_experts": 4, "num_experts_per_tok": 2, "n_shared": 1}}, r"moe\.n_shared is set"),
    ],
)
def test_what_its_settings_may_not_say(changes: dict[str, Any], saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        translate_params(PARAMS | changes)


def test_a_folder_that_lacks_its_settings_or_a_tensor(tmp_path: Path) -> None:
    path = consolidated(write_folder(tmp_path / "usual", SHAPE), tmp_path / "own")
    (path.parent / "params.json").write_text(json.dumps(PARAMS | {"n_layers": 3}))
    with pytest.raises(ModelFileError, match=r"own: the tensor 'blk\.2\..*' is missing"):
        load(path)
    (path.parent / "params.json").unlink()
    with pytest.raises(ModelFileError, match=r"params\.json cannot be read"):
        load(path)
