"""A model in fewer bits: the same model to every reader, each tensor in its type, no trace of a failure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pennyweight.errors import InvalidRequestError, ModelFileError, PennyweightError
from pennyweight.models.gguf import GGUFFile
from pennyweight.models.gguf_metadata import raw_metadata
from pennyweight.models.load import load
from pennyweight.native.reference_blocks import decode, dequantise
from pennyweight.quantize.importance import Importance, measure
from pennyweight.quantize.new_file import new_file
from pennyweight.quantize.quantize import quantize
from tests.models.gguf_writer import RawTensor, write_gguf, write_split_gguf
from tests.models.quantise import quantise as encode
from tests.models.tiny import k_shape, llama_shape, tiny_metadata, tiny_tensors, write_tiny

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.quantize.recipe import Kind

F32 = np.float32
KINDS: tuple[Kind, ...] = ("q4_0", "q4_1", "q8_0", "mixed")
NARROW = {"q4_0": "Q4_0", "q4_1": "Q4_1", "q8_0": "Q8_0", "mixed": "Q4_1"}
WIDE = {"q4_0": "Q4_0", "q4_1": "Q4_1", "q8_0": "Q8_0", "mixed": "Q4_K"}
LONG = "the little lions in the hills tell thee all. " * 20


def quiet(done: int, total: int) -> None:
    assert 0 < done <= total


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tiny(
        tmp_path / "tiny.gguf", llama_shape(kind="F32", kinds={"ffn_up": "F16", "attn_q": "BF16"})
    )


@pytest.fixture
def wide_source(tmp_path: Path) -> Path:
    return write_tiny(tmp_path / "wide.gguf", k_shape(llama_shape(tied=False), "F32"))


def values_of(path: Path) -> dict[str, np.ndarray]:
    with GGUFFile.open(path) as file:
        return {
            name: dequantise(
                decode(
                    file.read(name),
                    type=tensor.type,
                    rows=int(np.prod(tensor.shape[:-1])),
                    columns=tensor.shape[-1],
                )
            )
            for name, tensor in file.tensors.items()
        }


def types_in(path: Path) -> dict[str, str]:
    with GGUFFile.open(path) as file:
        return {name: tensor.type for name, tensor in file.tensors.items()}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_model_in_fewer_bits(kind: Kind, source: Path, tmp_path: Path) -> None:
    destination = tmp_path / "out.gguf"
    report = quantize(source, destination, kind, progress=quiet)
    assert report.num_bytes == destination.stat().st_size < 0.5 * report.source_bytes
    assert report.source_types == ()
    before, after = values_of(source), values_of(destination)
    assert list(before) == list(after)
    for name, values in before.items():
        error = np.sqrt(np.mean((after[name] - values) ** 2) / np.mean(values**2))
        assert error < (0.01 if kind == "q8_0" else 0.12), name
        assert (error == 0) == name.endswith("_norm.weight")
    assert load(destination).spec == load(source).spec


@pytest.mark.parametrize("kind", KINDS)
def test_the_formats_package_reads_it(kind: Kind, wide_source: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf", reason="the gguf package is not installed")
    destination = tmp_path / "out.gguf"
    quantize(
        wide_source,
        destination,
        kind,
        importance=lambda: measure(wide_source, LONG, progress=quiet),
        progress=quiet,
    )
    reader = gguf.GGUFReader(destination)
    ours = values_of(destination)
    for tensor in reader.tensors:
        theirs = gguf.dequantize(tensor.data, tensor.tensor_type)
        np.testing.assert_array_equal(theirs.reshape(ours[tensor.name].shape), ours[tensor.name])
    number = reader.fields["general.file_type"].contents()
    named = {"q4_0": "MOSTLY_Q4_0", "q4_1": "MOSTLY_Q4_1", "q8_0": "MOSTLY_Q8_0", "mixed": "MOSTLY_Q4_K_M"}
    assert gguf.LlamaFileType(number).name == named[kind]
    assert reader.fields["general.quantization_version"].contents() == gguf.GGML_QUANT_VERSION


@pytest.mark.parametrize("kind", KINDS)
def test_types(kind: Kind, source: Path, wide_source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "narrow-out.gguf", kind, progress=quiet)
    quantize(wide_source, tmp_path / "wide-out.gguf", kind, progress=quiet)
    narrow, wide = types_in(tmp_path / "narrow-out.gguf"), types_in(tmp_path / "wide-out.gguf")
    assert narrow["token_embd.weight"] == ("Q5_1" if kind == "mixed" else "Q8_0")  # it is the head as well
    assert wide["output.weight"] == ("Q8_0" if kind == "q8_0" else "Q6_K")
    assert wide["token_embd.weight"] == WIDE[kind]
    assert narrow["blk.1.ffn_down.weight"] == NARROW[kind]
    assert wide["blk.1.ffn_down.weight"] == WIDE[kind]
    assert narrow["blk.1.attn_v.weight"] == ("Q5_1" if kind == "mixed" else NARROW[kind])
    assert wide["blk.1.attn_v.weight"] == ("Q6_K" if kind == "mixed" else WIDE[kind])
    assert {narrow[name] for name in narrow if name.endswith("_norm.weight")} == {"F32"}


def test_metadata_is_kept_to_the_bit(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "out.gguf", "q4_0", progress=quiet)
    before, after = raw_metadata(source), raw_metadata(tmp_path / "out.gguf")
    added = {"general.file_type", "general.quantization_version"}
    assert {key: value for key, value in after.items() if key not in added} == before
    assert set(after) == set(before) | added


def test_a_split_model_becomes_one_file(tmp_path: Path) -> None:
    shape = llama_shape(kind="F16")
    first = write_split_gguf(tmp_path, "parts", tiny_metadata(shape), tiny_tensors(shape), count=3)
    whole = write_tiny(tmp_path / "whole.gguf", shape)
    quantize(first, tmp_path / "a.gguf", "q8_0", progress=quiet)
    quantize(whole, tmp_path / "b.gguf", "q8_0", progress=quiet)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_threads_and_pieces_change_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantize(source, tmp_path / "a.gguf", "q4_1", threads=1, progress=quiet)
    monkeypatch.setattr("pennyweight.quantize.conversion.PIECE_BYTES", 1000)
    quantize(source, tmp_path / "b.gguf", "q4_1", threads=3, progress=quiet)
    assert (tmp_path / "a.gguf").read_bytes() == (tmp_path / "b.gguf").read_bytes()


def test_blocks_that_have_the_type_already_are_copied(source: Path, tmp_path: Path) -> None:
    quantize(source, tmp_path / "once.gguf", "mixed", progress=quiet)
    report = quantize(tmp_path / "once.gguf", tmp_path / "twice.gguf", "mixed", progress=quiet)
    assert (tmp_path / "once.gguf").read_bytes() == (tmp_path / "twice.gguf").read_bytes()
    assert report.source_types == tuple(sorted(set(types_in(tmp_path / "once.gguf").values()) - {"F32"}))


def test_rows_that_are_no_whole_blocks_stay_floats(tmp_path: Path) -> None:
    tensors = {
        "a.weight": RawTensor("F32", (2, 40), encode(np.ones((2, 40), F32), "F32")),
        "b.weight": RawTensor("BF16", (2, 40), encode(np.ones((2, 40), F32), "BF16")),
        "c.weight": RawTensor("F32", (2, 64), encode(np.ones((2, 64), F32), "F32")),
        "ffn_gate_inp.weight": RawTensor("F32", (2, 64), encode(np.ones((2, 64), F32), "F32")),
    }
    path = write_gguf(tmp_path / "odd.gguf", {}, tensors)
    quantize(path, tmp_path / "out.gguf", "q4_0", progress=quiet)
    types = {"a.weight": "F16", "b.weight": "BF16", "c.weight": "Q4_0", "ffn_gate_inp.weight": "F32"}
    assert types_in(tmp_path / "out.gguf") == types


def test_a_text_tells_what_matters(source: Path, tmp_path: Path) -> None:
    """The weighted error of every matrix falls, by the importance that is measured here once more."""
    importance = measure(source, LONG, progress=quiet)
    quantize(source, tmp_path / "plain.gguf", "q4_0", progress=quiet)
    quantize(source, tmp_path / "told.gguf", "q4_0", importance=lambda: importance, progress=quiet)
    floats, plain, told = (values_of(tmp_path / name) for name in ("tiny.gguf", "plain.gguf", "told.gguf"))
    falls = []
    for name, values in floats.items():
        columns = importance.of(name, 0)
        if columns is None or types_in(tmp_path / "told.gguf")[name] != "Q4_0":
            continue
        weight = np.frombuffer(columns, F32)
        assert weight.shape == values.shape[-1:]
        errors = [float((weight * (other[name] - values) ** 2).sum()) for other in (plain, told)]
        falls.append(errors[1] / errors[0])
    assert len(falls) == 14
    assert max(falls) < 1.0


def test_importance_is_the_mean_square_of_what_goes_in(source: Path) -> None:
    """The first layer's queries, keys and values read the normed embedding of the text."""
    text = "in the hills " * 40
    importance = measure(source, text, progress=quiet)
    loaded = load(source)
    from pennyweight.text.tokenizer import Tokenizer

    tensors = values_of(source)
    rows = tensors["token_embd.weight"][Tokenizer.from_metadata(loaded.metadata).encode(text)]
    normed = rows / np.sqrt((rows**2).mean(axis=1, keepdims=True) + loaded.spec.norm_eps)
    expected = ((normed * tensors["blk.0.attn_norm.weight"]) ** 2).mean(axis=0)
    for part in "qkv":
        found = importance.of(f"blk.0.attn_{part}.weight", 0)
        assert found is not None
        np.testing.assert_allclose(np.frombuffer(found, F32), expected, rtol=0.01)


def test_experts_have_importance_of_their_own(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((3, 8, 64)).astype(F32)
    name = "blk.0.ffn_up_exps.weight"
    path = write_gguf(tmp_path / "experts.gguf", {}, {name: RawTensor("F32", values.shape, values.tobytes())})
    weights = np.random.default_rng(1).uniform(0, 2, (3, 64)).astype(F32)
    from pennyweight.models.gguf_writer import NewTensor
    from pennyweight.native import _native
    from pennyweight.quantize.conversion import Conversion

    importance = Importance({(name, 0): weights[0].tobytes(), (name, 16): weights[2].tobytes()})
    with GGUFFile.open(path) as file, Conversion(file, importance, threads=2) as conversion:
        pieces = b"".join(conversion.pieces(NewTensor(name=name, type="Q4_0", shape=values.shape)))
    expected = [
        _native.requantize(values[i], type="F32", to="Q4_0", columns=64, importance=own)
        for i, own in enumerate((weights[0], None, weights[2]))
    ]
    assert pieces == b"".join(expected)


def test_places_that_cannot_be_written(source: Path, tmp_path: Path) -> None:
    there = tmp_path / "there.gguf"
    there.write_text("mine")
    for destination, problem in (
        (there, r"there\.gguf exists already; give another name, or replace it with --force"),
        (tmp_path, "is a folder; name the file"),
        (tmp_path / "no" / "out.gguf", r"there is no folder .*no to write out\.gguf into"),
        (source, "is the model that is read"),
    ):
        with pytest.raises(InvalidRequestError, match=problem):
            quantize(source, destination, "q4_0", progress=quiet)
    assert there.read_text() == "mine"
    quantize(source, there, "q4_0", replace=True, progress=quiet)
    assert load(there).spec == load(source).spec
    with pytest.raises(InvalidRequestError, match="is the model that is read"):
        quantize(source, source, "q4_0", replace=True, progress=quiet)


def test_a_disk_that_is_too_small(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.statvfs(tmp_path)
    small = os.statvfs_result([*real[:4], 3, *real[5:]])
    monkeypatch.setattr(os, "statvfs", lambda _: small)
    with pytest.raises(InvalidRequestError, match=r"out\.gguf takes 0 MB, but .* has 0 MB free"):
        quantize(source, tmp_path / "out.gguf", "q8_0", progress=quiet)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e6])
def test_weights_no_type_can_hold(tmp_path: Path, value: float) -> None:
    shape = llama_shape(kind="F32")
    tensors = tiny_tensors(shape)
    odd = np.zeros(tensors["blk.1.attn_v.weight"].shape, F32)
    odd[3, 4] = value
    tensors["blk.1.attn_v.weight"] = RawTensor("F32", odd.shape, odd.tobytes())
    path = write_gguf(tmp_path / "odd.gguf", tiny_metadata(shape), tensors)
    with pytest.raises(ModelFileError, match=r"odd\.gguf: tensor 'blk\.1\.attn_v\.weight': a weight is "):
        quantize(path, tmp_path / "out.gguf", "q4_0", progress=quiet)
    assert [file.name for file in tmp_path.iterdir()] == ["odd.gguf"]


def test_sources_that_cannot_be_quantised(tmp_path: Path) -> None:
    path = tmp_path / "odd.gguf"
    out = tmp_path / "out.gguf"
    for tensors, problem in (
        (
            {"a.weight": RawTensor("Q8_K", (1, 256), bytes(292))},
            "'a.weight' has the type Q8_K; this engine reads",
        ),
        ({"a.bias": RawTensor("F32", (32,), bytes(128))}, "there is no matrix of weights"),
        ({}, "there is no matrix of weights"),
    ):
        write_gguf(path, {}, tensors)
        with pytest.raises(ModelFileError, match=problem):
            quantize(path, out, "q4_0", progress=quiet)
    path.write_bytes(b"PK\3\4")
    with pytest.raises(ModelFileError, match="not a GGUF file"):
        quantize(path, out, "q4_0", progress=quiet)
    assert not out.exists()


def test_texts_that_tell_nothing(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="the text has 0 tokens; at least 256"):
        measure(source, "", progress=quiet)
    odd = write_gguf(
        tmp_path / "odd.gguf",
        {"general.architecture": "mamba"},
        {"a.weight": RawTensor("F32", (1, 32), bytes(128))},
    )
    with pytest.raises(ModelFileError, match="the architecture 'mamba' is not supported"):
        measure(odd, LONG, progress=quiet)
    quantize(odd, tmp_path / "out.gguf", "q4_0", progress=quiet)


def test_what_matters_is_asked_when_nothing_else_is_wrong(source: Path, tmp_path: Path) -> None:
    def asked() -> None:
        raise AssertionError("too early")

    with pytest.raises(InvalidRequestError, match="is a folder"):
        quantize(source, tmp_path, "q4_0", importance=asked, progress=quiet)


def test_a_file_that_was_made_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"

    def write() -> None:
        with new_file(path, replace=False) as file:
            file.write(b"ours")
            path.write_text("theirs")

    with pytest.raises(InvalidRequestError, match="made by somebody else"):
        write()
    assert path.read_text() == "theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.gguf"]


def test_a_failed_write_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.gguf"
    problem = r"out\.gguf cannot be written: No space left"
    with pytest.raises(PennyweightError, match=problem), new_file(path, replace=False):
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []
