"""Folders of text and images that `transformers` saved: their text parts run, in both spellings of names."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.reference_decoder import read_decoder
from pennyweight.errors import ModelFileError
from pennyweight.models.huggingface.families import translate
from pennyweight.models.huggingface.multimodal import text_name
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.models.safetensors import SafetensorsFile
from pennyweight.native.reference import ReferenceDecoder
from tests.models.huggingface.tiny_folder import byte_level_files, folder_config
from tests.models.tiny import gemma_shape
from tests.models.tiny_encoder import safetensors_bytes
from tests.native.native_decoders import Driver, sampled

if TYPE_CHECKING:
    from pathlib import Path

VOCAB_SIZE = 265  # of the tiny vocabulary
TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, VOCAB_SIZE, 48)]
_TEXT = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.2,
    "rms_norm_eps": 1e-5,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
_SIGHT = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_QWEN_SIGHT = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 64}
_SECTIONS = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [2, 3, 3]}
WRAPPERS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {  # with its text and vision
    "Gemma3ForConditionalGeneration": (
        "Gemma3Config",
        {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 24, "num_hidden_layers": 7},
        _SIGHT | {"image_size": 28, "patch_size": 14},
    ),
    "Mistral3ForConditionalGeneration": (
        "Mistral3Config",
        {"model_type": "mistral", "head_dim": 32, "sliding_window": None},
        _SIGHT | {"model_type": "pixtral", "image_size": 28, "patch_size": 14},
    ),
    "Qwen2_5_VLForConditionalGeneration": (
        "Qwen2_5_VLConfig",
        {"rope_parameters": _SECTIONS},
        _QWEN_SIGHT,
    ),
    "Qwen3VLForConditionalGeneration": (
        "Qwen3VLConfig",
        {"rope_parameters": _SECTIONS | {"mrope_interleaved": True}, "head_dim": 16},
        _QWEN_SIGHT | {"deepstack_visual_indexes": [0]},
    ),
}


@pytest.fixture(scope="module", params=WRAPPERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """The model and its folder."""
    torch = pytest.importorskip("torch", reason="torch is a development dependency")
    transformers = pytest.importorskip("transformers", reason="transformers is a development dependency")
    config, text, sight = WRAPPERS[request.param]
    torch.manual_seed(3)
    settings = getattr(transformers, config)(text_config=_TEXT | text, vision_config=sight)
    model = getattr(transformers, request.param)(settings).eval()
    folder = tmp_path_factory.mktemp("multimodal") / request.param
    model.save_pretrained(folder)
    for name, value in byte_level_files().items():
        (folder / name).write_text(json.dumps(value))
    return model, folder


def score(model: Any, tokens: list[int]) -> np.ndarray:
    import torch

    with torch.inference_mode():
        scores: np.ndarray = model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0].numpy()
    return scores


def test_the_text_part_is_the_model(made: tuple[Any, Path]) -> None:
    model, folder = made
    spec, tensors = read_decoder(resolve(folder))
    ours = ReferenceDecoder(spec, tensors, mode="float32").logits(TOKENS)
    np.testing.assert_allclose(ours, score(model, TOKENS), rtol=0, atol=1e-4)


def test_greedy_text_is_the_models(made: tuple[Any, Path], caplog: pytest.LogCaptureFixture) -> None:
    model, folder = made
    with caplog.at_level(logging.WARNING):
        loaded = load(resolve(folder))
    assert caplog.messages == [
        f"{folder.name} reads text and images; here it reads text alone, its weights for images are left out"
    ]
    driver = Driver(loaded.model, vocab_size=VOCAB_SIZE)
    slot: Any = driver.decoder.open_sampler(seed=0, temperature=0.0)
    pages, prompt = driver.pages(24), TOKENS[:8]
    ((first,),) = driver.run(sampled(prompt, 0, pages, slot))
    steps = driver.run(sampled(first.tokens, len(prompt), pages, slot), steps=15)
    text = first.tokens + [token for (result,) in steps for token in result.tokens]
    theirs = score(model, prompt + text)[len(prompt) - 1 : -1]
    lost = theirs.max(axis=1) - theirs[np.arange(len(text)), text]
    assert (lost < 0.2).all()
    assert (lost > 0).sum() <= 2


def test_the_other_spelling_of_names_is_the_same_model(made: tuple[Any, Path], tmp_path: Path) -> None:
    """Newer: the model inside `model.`, the head outside. Older: the text inside `language_model.`."""
    _, folder = made
    stored = {}
    with SafetensorsFile.open(folder / "model.safetensors") as file:
        is_newer = any(name.startswith("model.language_model.") for name in file.tensors)
        for name, tensor in file.tensors.items():
            alone = text_name(name)
            if is_newer:
                other = name.removeprefix("model.") if alone is None else f"language_model.{alone}"
            else:
                inside = "model.language_model."
                other = f"model.{name}" if alone is None else alone.replace("model.", inside, 1)
            stored[other] = (tensor.type, tensor.shape, bytes(file.read(name)))
        assert not stored.keys() & file.tensors.keys() - {"lm_head.weight"}
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(safetensors_bytes(stored))
    scores = [
        Driver(load(resolve(one)).model, vocab_size=VOCAB_SIZE).score(TOKENS) for one in (folder, tmp_path)
    ]
    np.testing.assert_array_equal(*scores)


def gemma(**text: Any) -> dict[str, Any]:
    config = folder_config(gemma_shape())
    config.pop("architectures")
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": config | {"model_type": "gemma3_text"} | text,
        "vision_config": {},
    }


def test_what_the_text_part_leaves_unsaid_is_as_its_makers_have_it() -> None:
    """The configuration that Gemma 3 4B was published with."""
    text = {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }
    found = translate({**gemma(), "text_config": text}).metadata
    told = {
        "vocab_size": 262_208,
        "attention.head_count": 8,
        "attention.head_count_kv": 4,
        "attention.key_length": 256,
        "context_length": 131_072,
        "rope.scaling.factor": 8.0,
        "rope.freq_base": 1e6,
    }
    assert {key: found[f"gemma3.{key}"] for key in told} == told
    older = {key: value for key, value in text.items() if key != "model_type"}
    assert translate({**gemma(), "text_config": older | {"model_type": "gemma3_text"}}).metadata == found


def test_pixtrals_text_is_mistral_nemos() -> None:
    """Of sizes only what differs from Mistral 7B's is said; a window of null is none."""
    text = {"model_type": "mistral", "head_dim": 128, "hidden_size": 5120, "sliding_window": None}
    config = {
        "architectures": ["LlavaForConditionalGeneration"],
        "text_config": text,
        "image_token_index": 10,
    }
    found = translate(config).metadata
    assert found["llama.attention.head_count"] == 32
    assert found["llama.attention.head_count_kv"] == 8
    assert "llama.attention.sliding_window" not in found


def test_older_configurations_have_the_texts_beside_the_visions() -> None:
    """As Qwen2.5-VL 3B was published; positions in three dimensions are plain ones for text."""
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"],
        "model_type": "qwen2_5_vl",
        "vision_config": {"depth": 32},
        "image_token_id": 151655,
        "vision_start_token_id": 151652,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "max_position_embeddings": 128000,
        "max_window_layers": 70,
        "num_attention_heads": 16,
        "num_hidden_layers": 36,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "sliding_window": 32768,
        "use_sliding_window": False,
        "tie_word_embeddings": True,
        "vocab_size": 151936,
    }
    model = translate(config)
    assert model.metadata["general.architecture"] == "qwen2"
    assert model.metadata["qwen2.rope.freq_base"] == 1e6
    assert "qwen2.rope.scaling.type" not in model.metadata
    assert model.tied
    with pytest.raises(ModelFileError, match="quantization_config is set"):
        translate(config | {"quantization_config": {"bits": 4}})
    with pytest.raises(ModelFileError, match="rope_type is 'dynamic'"):
        translate(config | {"rope_scaling": {"type": "dynamic", "mrope_section": [16, 24, 24]}})


def test_adapters_of_the_whole_model_find_its_text_part(tiny_llama_path: Path) -> None:
    targets = load(tiny_llama_path).adapter_targets
    usual = targets.of("model.layers.1.self_attn.q_proj")
    assert len(usual) == 1
    for prefix in ("model.language_model.", "language_model.model."):
        assert targets.of(f"{prefix}layers.1.self_attn.q_proj") == usual
    assert targets.of("vision_tower.encoder.layers.1.self_attn.q_proj") == ()


@pytest.mark.parametrize(
    ("config", "saying"),
    [
        (gemma(model_type="t5"), "text part of Gemma3ForConditionalGeneration is 't5'.* it runs gemma3_text"),
        (gemma(model_type=["a"]), r"is \['a'\], which this engine does not run"),
        ({**gemma(), "text_config": [1]}, r"text_config is \[1\]; expected an object"),
        ({**gemma(), "quantization_config": {"bits": 4}}, "quantization_config is set"),
        (gemma(a_key_of_tomorrow=1), "a_key_of_tomorrow is set"),
        (gemma(query_pre_attn_scalar=7), "query_pre_attn_scalar is 7"),
    ],
)
def test_what_the_text_part_may_not_be(config: dict[str, Any], saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        translate(config)
