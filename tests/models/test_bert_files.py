"""Encoders from GGUF files and from folders: same weights, same vectors; what cannot run is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.errors import ModelFileError
from pennyweight.models.bert_load import load_encoder
from pennyweight.models.local import installed_models, remove, resolve
from pennyweight.native import _native
from tests.models.gguf_writer import write_gguf
from tests.models.tiny_encoder import (
    TinyEncoder,
    gguf_metadata,
    gguf_tensors,
    write_encoder_folder,
    write_encoder_gguf,
)

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = [[2, 5, 6, 7, 3], [2, 40, 3], [2, *range(5, 25), 3]]


def _vectors(path: Path) -> bytes:
    return _native.Encoder(load_encoder(path).model, num_threads=1).encode(TEXTS)


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16"])
def test_a_folder_and_a_gguf_file_of_the_same_weights_agree(tmp_path: Path, kind: str) -> None:
    folder = write_encoder_folder(tmp_path / "folder", kind=kind)
    gguf = write_encoder_gguf(tmp_path / "tiny.gguf", kind=kind)
    if kind == "F32":  # a folder has all of its kind, a GGUF file F32 for what is small
        assert _vectors(folder / "model.safetensors") == _vectors(gguf)
    loaded = load_encoder(folder / "model.safetensors")
    assert loaded.spec == load_encoder(gguf).spec
    assert (loaded.spec.window, loaded.spec.d_model, loaded.spec.pooling) == (24, 64, "mean")
    assert loaded.name == "folder"


def test_float_weights_are_rounded_as_a_file_of_eight_bits_is(tmp_path: Path) -> None:
    """`quantise` divides by the exact scale, the engine by the stored one: close, and far from neutral."""
    eight = load_encoder(write_encoder_gguf(tmp_path / "eight.gguf", kind="Q8_0"))
    four = load_encoder(write_encoder_gguf(tmp_path / "four.gguf", kind="Q4_0"))
    rounded = load_encoder(write_encoder_gguf(tmp_path / "float.gguf", kind="F32"))
    assert rounded.model.weight_bytes == eight.model.weight_bytes > four.model.weight_bytes
    assert len({loaded.content_hash for loaded in (eight, four, rounded)}) == 3


def test_pooling_is_what_the_file_says(tmp_path: Path) -> None:
    first = load_encoder(write_encoder_folder(tmp_path / "cls", pooling="cls_token") / "model.safetensors")
    assert first.spec.pooling == "first"
    gguf = write_encoder_gguf(tmp_path / "cls.gguf", **{"bert.pooling_type": 2})
    assert load_encoder(gguf).spec.pooling == "first"
    assert _vectors(gguf) == _vectors(first.path) != _vectors(write_encoder_gguf(tmp_path / "mean.gguf"))


def test_a_bare_folder_is_pooled_by_the_mean_over_all_positions(tmp_path: Path) -> None:
    folder = write_encoder_folder(tmp_path / "bare")
    for name in ("modules.json", "sentence_bert_config.json", "1_Pooling/config.json"):
        (folder / name).unlink()
    spec = load_encoder(folder / "model.safetensors").spec
    assert (spec.pooling, spec.window) == ("mean", 40)


@pytest.mark.parametrize(
    ("file", "changes", "saying"),
    [
        ("config.json", {"hidden_act": "gelu_new"}, "hidden_act is 'gelu_new'"),
        ("config.json", {"model_type": "roberta"}, "model_type is 'roberta'"),
        ("config.json", {"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ("config.json", {"is_decoder": True}, "is_decoder"),
        ("config.json", {"num_attention_heads": 3}, "multiple of 3"),
        ("config.json", {"num_attention_heads": 8}, "head size is 8"),
        ("config.json", {"num_hidden_layers": 3}, "encoder.layer.2.attention.self.query.weight' is missing"),
        ("config.json", {"num_hidden_layers": 1}, "no part in this engine's encoder"),
        ("config.json", {"hidden_size": 32}, "has the shape"),
        ("config.json", {"layer_norm_eps": "x"}, "layer_norm_eps is 'x'"),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
    ],
)
def test_a_folder_that_cannot_run_is_refused(
    tmp_path: Path, file: str, changes: dict[str, Any], saying: str
) -> None:
    folder = write_encoder_folder(tmp_path / "folder")
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ModelFileError, match=saying):
        load_encoder(folder / "model.safetensors")


def test_a_module_that_changes_vectors_is_refused(tmp_path: Path) -> None:
    folder = write_encoder_folder(tmp_path / "folder")
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": 3, "path": "3_Dense", "type": "sentence_transformers.models.Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ModelFileError, match="Dense"):
        load_encoder(folder / "model.safetensors")
    (folder / "modules.json").write_text('[{"type": "x.Pooling", "path": "../elsewhere"}]')
    with pytest.raises(ModelFileError, match="Pooling"):
        load_encoder(folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "saying"),
    [
        ({"bert.attention.causal": True}, "bert.attention.causal"),
        ({"bert.pooling_type": 3}, "bert.pooling_type"),
        ({"bert.rope.freq_base": 10000.0}, "bert.rope.freq_base"),
        ({"general.architecture": "nomic-bert"}, "nomic-bert"),
        ({"bert.embedding_length": 96}, "shape"),
        ({"bert.block_count": 1}, "no part"),
    ],
)
def test_a_gguf_file_that_cannot_run_is_refused(tmp_path: Path, changes: dict[str, Any], saying: str) -> None:
    with pytest.raises(ModelFileError, match=saying):
        load_encoder(write_encoder_gguf(tmp_path / "tiny.gguf", **changes))


def test_a_missing_or_extra_tensor_is_refused(tmp_path: Path) -> None:
    tiny = TinyEncoder()
    tensors = gguf_tensors(tiny, "F32")
    extra = {**tensors, "blk.0.attn_q_norm.weight": tensors["token_embd_norm.weight"]}
    with pytest.raises(ModelFileError, match="attn_q_norm"):
        load_encoder(write_gguf(tmp_path / "extra.gguf", gguf_metadata(tiny), extra))
    del tensors["blk.1.ffn_up.bias"]
    with pytest.raises(ModelFileError, match=r"blk\.1\.ffn_up\.bias' is missing"):
        load_encoder(write_gguf(tmp_path / "missing.gguf", gguf_metadata(tiny), tensors))


def test_a_weight_that_is_no_number_is_refused(tmp_path: Path) -> None:
    folder = write_encoder_folder(tmp_path / "folder")
    path = folder / "model.safetensors"
    data = bytearray(path.read_bytes())
    header_bytes = int.from_bytes(data[:8], "little")
    data[8 + header_bytes : 12 + header_bytes] = b"\x00\x00\x80\x7f"  # infinity, in the first word's vector
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match="not a finite number"):
        load_encoder(path)


def test_an_installed_folder_is_a_model_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    models = tmp_path / "pennyweight" / "models"
    path = write_encoder_folder(models / "my-encoder") / "model.safetensors"
    write_encoder_folder(models / ".incoming-abc" / "half")
    (listed,) = installed_models()
    assert (listed.name, listed.architecture, listed.types) == ("my-encoder", "bert", ("F32",))
    assert (listed.context_length, listed.problem) == (24, None)
    assert resolve("my-encoder") == resolve(str(path.parent)) == path
    (path.parent / "config.json").unlink()
    assert "config.json cannot be read" in str(installed_models()[0].problem)
    assert remove("my-encoder") == path.parent
    assert not path.parent.exists()
