"""A folder of safetensors as GGUF: the bits of the folder rounded in memory, and llama.cpp's converter's."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.errors import InvalidRequestError, ModelFileError
from pennyweight.models.gguf import GGUFFile
from pennyweight.models.load import load
from pennyweight.models.local import resolve
from pennyweight.quantize.importance import calibration_text, measure
from pennyweight.quantize.quantize import quantize
from pennyweight.text.pretokenizers import find_pretokenizer
from pennyweight.text.tokenizer import Tokenizer
from tests.models.converter import convert
from tests.models.families import FAMILIES, torch_model
from tests.models.huggingface.test_consolidated_folders import consolidated
from tests.models.huggingface.test_folder_families import agree, saved
from tests.models.huggingface.tiny_folder import byte_level_files, folder_config, write_folder
from tests.models.tiny import TinyShape, gemma_shape, llama_shape, tiny_metadata
from tests.native.native_decoders import Driver
from tests.text.folder_files import sentencepiece_bytes, tekken_bytes

if TYPE_CHECKING:
    from pathlib import Path

VOCAB_SIZE = 265
SHAPE = llama_shape(kind="BF16", kinds={}, tied=False)
TOKENS = [int(token) for token in np.random.default_rng(7).integers(0, VOCAB_SIZE, 40)]
TEXTS = (calibration_text(), "<|im_start|>user\nhi<|im_end|>\n", "  two   blanks\n\n\t日本 12345 it's")


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


def scores(path: Path, **how: Any) -> np.ndarray:
    loaded = load(path, **how)
    return np.asarray(Driver(loaded.model, vocab_size=loaded.spec.vocab_size).score(TOKENS))


def same_tokens(path: Path, folder: Path) -> None:
    ours, theirs = (Tokenizer.from_metadata(load(one).metadata) for one in (path, resolve(folder)))
    for text in TEXTS:
        for trusted in (False, True):
            ids = ours.encode(text, parse_special=trusted)
            assert ids == theirs.encode(text, parse_special=trusted)
            assert ours.decode(ids) == theirs.decode(ids)
    assert ours.end_token_ids == theirs.end_token_ids
    assert (ours.bos_token_id, ours.eos_token_id, ours.add_bos) == (
        theirs.bos_token_id,
        theirs.eos_token_id,
        theirs.add_bos,
    )


@pytest.mark.parametrize("shards", [1, 3])
def test_it_is_the_folder_rounded_in_memory(shards: int, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "my-model", SHAPE, shards=shards)
    out = tmp_path / "out.gguf"
    report = quantize(resolve(folder), out, "q8_0", progress=quiet)
    assert report.num_bytes == out.stat().st_size
    assert report.source_bytes == sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    np.testing.assert_array_equal(scores(out), scores(resolve(folder), weights="q8_0"))
    same_tokens(out, folder)
    told, known = (load(one).metadata["tokenizer.chat_template"] for one in (out, resolve(folder)))
    assert told == known


def test_weights_that_matter_are_measured_in_the_folder(tmp_path: Path) -> None:
    folder = resolve(write_folder(tmp_path / "my-model", SHAPE))
    plain, told = tmp_path / "plain.gguf", tmp_path / "told.gguf"
    quantize(folder, plain, "q4_0", progress=quiet)
    known = measure(folder, "the little lions in the hills tell thee all. " * 20, progress=quiet)
    quantize(folder, told, "q4_0", importance=lambda: known, progress=quiet)
    assert plain.read_bytes() != told.read_bytes()
    assert load(told).spec == load(plain).spec


def test_a_sentencepiece_vocabulary(tmp_path: Path) -> None:
    shape = gemma_shape(kind="F32", kinds={})
    metadata = {key: getattr(value, "value", value) for key, value in tiny_metadata(shape).items()}
    files = {
        "tokenizer.json": None,
        "tokenizer.model": sentencepiece_bytes(metadata, dummy_prefix=0),
        "generation_config.json": {"eos_token_id": [1, 5], "temperature": 0.5},
    }
    folder = write_folder(tmp_path / "gemma", shape, files=files)
    out = tmp_path / "out.gguf"
    quantize(resolve(folder), out, "q8_0", progress=quiet)
    np.testing.assert_array_equal(scores(out), scores(resolve(folder), weights="q8_0"))
    same_tokens(out, folder)
    with GGUFFile.open(out) as file:
        told = file.metadata
    assert told["tokenizer.ggml.model"] == "llama"
    assert told["tokenizer.ggml.add_space_prefix"] is False
    assert list(told["gemma3.attention.sliding_window_pattern"]) == [True] * 5 + [False, True]
    assert told["general.sampling.temp"] == 0.5


def test_bytes_that_fall_back(tmp_path: Path) -> None:
    """Llama 2's kind of `tokenizer.json`: scores follow from the order of its merges."""
    bytes_ = {f"<0x{byte:02X}>": byte + 3 for byte in range(256)}
    words = ["▁", "a", "n", "an", "▁a", "▁an"]
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **bytes_, **{word: 259 + i for i, word in enumerate(words)}}
    merges = [["a", "n"], ["▁", "a"], ["▁a", "n"], ["▁", "an"]]
    normalizer = {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ],
    }
    steps = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    model = {"type": "BPE", "vocab": vocab, "merges": merges, "byte_fallback": True, "unk_token": "<unk>"}
    added = [{"id": token, "content": text, "special": True} for text, token in list(vocab.items())[:3]]
    document = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": normalizer,
        "decoder": {"type": "Sequence", "decoders": steps},
        "model": model,
    }
    config = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True}
    files = {"tokenizer.json": document, "tokenizer_config.json": config}
    folder = write_folder(tmp_path / "pieces", SHAPE, files=files)
    out = tmp_path / "out.gguf"
    quantize(resolve(folder), out, "q8_0", progress=quiet)
    same_tokens(out, folder)
    assert Tokenizer.from_metadata(load(out).metadata).encode("an") == [vocab["▁an"]]
    with GGUFFile.open(out) as file:
        assert list(file.metadata["tokenizer.ggml.token_type"][:4]) == [2, 3, 3, 6]


def test_ends_without_a_role_of_their_own(tmp_path: Path) -> None:
    files = {"generation_config.json": {"eos_token_id": [2, 260]}}
    folder = write_folder(tmp_path / "ends", SHAPE, files=files)
    quantize(resolve(folder), tmp_path / "out.gguf", "q8_0", progress=quiet)
    same_tokens(tmp_path / "out.gguf", folder)
    with GGUFFile.open(tmp_path / "out.gguf") as file:
        assert file.metadata["tokenizer.ggml.eot_token_id"] == 260


def test_mistrals_own_folder_is_the_usual_one(tmp_path: Path) -> None:
    """Its rows lie as GGUF wants them; Tekken's ranks become merges."""
    usual = write_folder(tmp_path / "usual", SHAPE, architectures=["MistralForCausalLM"])
    own = consolidated(usual, tmp_path / "own")
    plain = {key: getattr(value, "value", value) for key, value in tiny_metadata(TinyShape()).items()}
    sizes = {"default_vocab_size": VOCAB_SIZE, "default_num_special_tokens": 4}
    pattern = find_pretokenizer("tekken", None).patterns[0]
    tekken = tekken_bytes(plain, config={"pattern": pattern, **sizes})
    (own.parent / "tekken.json").write_bytes(tekken)
    files = [tmp_path / "usual.gguf", tmp_path / "own.gguf"]
    for folder, out in zip((resolve(usual), own), files, strict=True):
        quantize(folder, out, "q4_0", progress=quiet)
    with GGUFFile.open(files[0]) as one, GGUFFile.open(files[1]) as other:
        assert one.tensors.keys() == other.tensors.keys()
        for name in one.tensors:
            assert one.read(name) == other.read(name), name
        assert other.metadata["tokenizer.ggml.pre"] == "tekken"
    same_tokens(files[1], own.parent)


def test_of_a_model_of_text_and_images_the_text_is_written(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "sees", SHAPE)
    text = {key: value for key, value in folder_config(SHAPE).items() if key != "architectures"}
    whole = {
        "architectures": ["Mistral3ForConditionalGeneration"],
        "text_config": text | {"model_type": "mistral", "sliding_window": None},
        "vision_config": {},
    }
    plain = quantize(resolve(folder), tmp_path / "plain.gguf", "q8_0", progress=quiet)
    (folder / "config.json").write_text(json.dumps(whole))
    seen = quantize(resolve(folder), tmp_path / "seen.gguf", "q8_0", progress=quiet)
    assert (plain.left_out, seen.left_out) == (None, "images")
    assert (tmp_path / "plain.gguf").read_bytes() == (tmp_path / "seen.gguf").read_bytes()


def test_words_that_are_cut_in_no_published_way(tmp_path: Path) -> None:
    document = byte_level_files()["tokenizer.json"]
    split = {"type": "Split", "pattern": {"Regex": "[aeiou]+"}, "behavior": "Isolated", "invert": False}
    folder = write_folder(
        tmp_path / "odd", SHAPE, files={"tokenizer.json": {**document, "pre_tokenizer": split}}
    )
    with pytest.raises(ModelFileError, match="cuts words in a way that has no name in GGUF"):
        quantize(resolve(folder), tmp_path / "out.gguf", "q8_0", progress=quiet)
    assert not (tmp_path / "out.gguf").exists()


def test_a_place_in_the_folder(tmp_path: Path) -> None:
    folder = resolve(write_folder(tmp_path / "my-model", SHAPE))
    with pytest.raises(InvalidRequestError, match="is the model that is read"):
        quantize(folder, folder, "q8_0", replace=True, progress=quiet)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_what_the_converter_makes_of_it(name: str, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is a development dependency")
    pytest.importorskip("transformers", reason="transformers is a development dependency")
    family = FAMILIES[name]
    model = torch_model(family, VOCAB_SIZE)
    if family.name == "Granite":
        model.config.logits_scaling = 2.0
    folder = saved(model, tmp_path / "folder")
    converted = convert(model, tmp_path / "floats.gguf", kind="F32")
    ours, theirs = tmp_path / "ours.gguf", tmp_path / "theirs.gguf"
    quantize(folder, ours, "q8_0", progress=quiet)
    quantize(converted, theirs, "q8_0", progress=quiet)
    with GGUFFile.open(ours) as one, GGUFFile.open(theirs) as other:
        assert one.tensors.keys() == other.tensors.keys()
        for tensor in one.tensors:
            assert one.read(tensor) == other.read(tensor), tensor
    specs = [load(path, context=family.context).spec for path in (ours, theirs)]
    for field in fields(specs[0]):
        agree(getattr(specs[0], field.name), getattr(specs[1], field.name))
    np.testing.assert_array_equal(
        scores(ours, context=family.context), scores(folder, weights="q8_0", context=family.context)
    )


def test_the_formats_package_reads_it(tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="the gguf package is not installed")
    out = tmp_path / "out.gguf"
    quantize(resolve(write_folder(tmp_path / "my-model", SHAPE)), out, "q4_1", progress=quiet)
    fields = gguf.GGUFReader(out).fields
    told = {name: field.contents() for name, field in fields.items()}
    document = byte_level_files()["tokenizer.json"]
    assert told["general.architecture"] == "llama"
    assert told["general.name"] == "my-model"
    assert told["llama.rope.dimension_count"] == 16
    assert told["tokenizer.ggml.model"] == "gpt2"
    assert told["tokenizer.ggml.pre"] == "smollm"
    assert told["tokenizer.ggml.merges"] == [" ".join(merge) for merge in document["model"]["merges"]]
    assert told["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]
    assert told["tokenizer.ggml.bos_token_id"] == 1
    assert told["tokenizer.ggml.eos_token_id"] == 2
    assert "pennyweight.left_out" not in told
    assert not [name for name in told if "huggingface" in name]
    assert told["tokenizer.ggml.add_bos_token"] is False
