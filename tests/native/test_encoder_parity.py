"""The compiled encoder against its NumPy definition, bit for bit on every target, and `transformers`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pennyweight.models.bert_load import load_encoder
from pennyweight.native import _native
from pennyweight.native.reference_blocks import decode
from pennyweight.native.reference_encoder import ReferenceEncoder
from tests.models.tiny_encoder import VOCABULARY, TinyEncoder, write_encoder_folder, write_encoder_gguf

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.native.reference_encoder import Mode

TARGETS = _native.targets()
_PARTS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "output_norm": "output.LayerNorm",
}


def _reference(tiny: TinyEncoder, mode: Mode, pooling: Any = "mean") -> ReferenceEncoder:
    """Over the weights as the engine rounds them."""
    stored = tiny.tensors()

    def rounded(name: str) -> Any:
        rows, columns = stored[name].shape
        return decode(
            _native.to_q8_0(stored[name].tobytes(), type="F32"), type="Q8_0", rows=rows, columns=columns
        )

    tensors: dict[str, Any] = {
        "embedding": rounded("embeddings.word_embeddings.weight"),
        "positions": stored["embeddings.position_embeddings.weight"],
        "token_type": stored["embeddings.token_type_embeddings.weight"][0],
    }
    for end in ("weight", "bias"):
        tensors[f"embedding_norm.{end}"] = stored[f"embeddings.LayerNorm.{end}"]
    for index in range(tiny.num_layers):
        for part, name in _PARTS.items():
            own, theirs = f"layers.{index}.{part}", f"encoder.layer.{index}.{name}"
            matrix = not part.endswith("norm")
            tensors[f"{own}.weight"] = rounded(f"{theirs}.weight") if matrix else stored[f"{theirs}.weight"]
            tensors[f"{own}.bias"] = stored[f"{theirs}.bias"]
    return ReferenceEncoder(
        tensors,
        num_layers=tiny.num_layers,
        num_heads=tiny.num_heads,
        norm_eps=tiny.norm_eps,
        pooling=pooling,
        mode=mode,
    )


def _texts(tiny: TinyEncoder) -> list[list[int]]:
    random = np.random.default_rng(3)
    lengths = (1, 2, 15, 16, 17, 33, tiny.num_positions)
    return [[2, *random.integers(5, len(VOCABULARY), length - 1).tolist()] for length in lengths]


def _native_vectors(path: Path, texts: list[list[int]], threads: int = 2) -> np.ndarray:
    loaded = load_encoder(path)
    data = _native.Encoder(loaded.model, num_threads=threads).encode(texts)
    return np.frombuffer(data, np.float32).reshape(len(texts), loaded.spec.d_model)


@pytest.mark.parametrize("target", TARGETS, indirect=True)
@pytest.mark.parametrize(
    "tiny", [TinyEncoder(), TinyEncoder(d_model=96, num_heads=6, d_ff=64, num_layers=1, seed=1)], ids=str
)
def test_every_target_computes_the_definition(tmp_path: Path, target: str, tiny: TinyEncoder) -> None:
    assert target in TARGETS
    texts = _texts(tiny)
    reference = _reference(tiny, "exact")
    want = np.stack([reference.encode(text) for text in texts])
    path = write_encoder_gguf(tmp_path / "tiny.gguf", tiny)
    assert _native_vectors(path, texts).tobytes() == want.tobytes()


def test_pooling_by_the_first_token(tmp_path: Path) -> None:
    tiny = TinyEncoder()
    reference = _reference(tiny, "exact", "first")
    path = write_encoder_gguf(tmp_path / "tiny.gguf", tiny, **{"bert.pooling_type": 2})
    texts = _texts(tiny)
    want = np.stack([reference.encode(text) for text in texts])
    assert _native_vectors(path, texts).tobytes() == want.tobytes()


def test_the_definition_is_a_float32_encoder_but_for_rounded_inputs() -> None:
    tiny = TinyEncoder()
    exact, plain = _reference(tiny, "exact"), _reference(tiny, "float32")
    for text in _texts(tiny):
        a, b = exact.encode(text), plain.encode(text)
        assert float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) > 0.9995


def test_a_text_does_not_depend_on_its_company_or_on_threads(tmp_path: Path) -> None:
    tiny = TinyEncoder()
    path = write_encoder_gguf(tmp_path / "tiny.gguf", tiny)
    texts = _texts(tiny)
    together = _native_vectors(path, texts, threads=3)
    alone = np.concatenate([_native_vectors(path, [text], threads=1) for text in texts])
    assert together.tobytes() == alone.tobytes()


def test_arguments_are_checked(tmp_path: Path) -> None:
    encoder = _native.Encoder(load_encoder(write_encoder_gguf(tmp_path / "tiny.gguf")).model, num_threads=1)
    assert encoder.encode([]) == b""
    for texts in ([[]], [[len(VOCABULARY)]], [[-1]], [[5] * 41]):
        with pytest.raises(ValueError, match="token"):
            encoder.encode(texts)
    with pytest.raises(ValueError, match="dimensions"):
        _native.combine(bytes(8), weights=[1], width=2, dimensions=3)
    with pytest.raises(ValueError, match="one weight per vector"):
        _native.combine(bytes(8), weights=[1, 1], width=2, dimensions=2)
    with pytest.raises(ValueError, match="float32"):
        _native.combine(bytes(7), weights=[1], width=2, dimensions=2)
    with pytest.raises(ValueError, match="finite"):
        _native.to_q8_0(np.full(32, np.nan, np.float32).tobytes(), type="F32")
    with pytest.raises(ValueError, match="num_threads"):
        _native.Encoder(load_encoder(tmp_path / "tiny.gguf").model, num_threads=-1)


def test_transformers_computes_the_same_vectors(tmp_path: Path) -> None:
    """A BertModel from the same folder; what differs is the rounding to eight bits."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tiny = TinyEncoder(num_layers=3)
    folder = write_encoder_folder(tmp_path / "folder", tiny)
    bert = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    texts = _texts(tiny)
    vectors = _native_vectors(folder / "model.safetensors", texts)
    for text, own in zip(texts, vectors, strict=True):
        with torch.no_grad():
            states = bert(input_ids=torch.tensor([text])).last_hidden_state[0].numpy()
        theirs = states.mean(axis=0)
        cosine = float(own @ theirs / np.linalg.norm(own) / np.linalg.norm(theirs))
        assert cosine > 0.999
        assert np.abs(own - theirs).max() < 0.1


def test_transformers_computes_what_the_float32_reference_does(tmp_path: Path) -> None:
    """With weights that eight bits hold exactly nothing is left but the order of sums."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tiny = TinyEncoder()
    folder = write_encoder_folder(tmp_path / "folder", tiny)
    bert = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    reference = _reference(tiny, "float32")
    from pennyweight.native.reference_blocks import dequantise

    state = bert.state_dict()
    names = {"embedding": "embeddings.word_embeddings"}
    for index in range(tiny.num_layers):
        names |= {
            f"layers.{index}.{part}": f"encoder.layer.{index}.{name}"
            for part, name in _PARTS.items()
            if not part.endswith("norm")
        }
    for own, theirs in names.items():
        weights = reference.tensors["embedding" if own == "embedding" else f"{own}.weight"]
        state[f"{theirs}.weight"] = torch.from_numpy(dequantise(weights))
    bert.load_state_dict(state)
    for text in _texts(tiny):
        with torch.no_grad():
            theirs_T = bert(input_ids=torch.tensor([text])).last_hidden_state[0].mean(dim=0).numpy()
        assert np.abs(reference.encode(text) - theirs_T).max() < 2e-5


def test_similarities_are_the_products_of_what_is_kept() -> None:
    """Of 384 values as MiniLM's; the query is rounded as the vectors are."""
    random = np.random.default_rng(3)
    vectors_VD = random.normal(size=(50, 384)).astype(np.float32)
    vectors_VD /= np.linalg.norm(vectors_VD, axis=1, keepdims=True)
    blocks = _native.to_q8_0(vectors_VD.tobytes(), type="F32")
    found = np.frombuffer(_native.similarities(vectors_VD[7].tobytes(), blocks), np.float32)
    assert np.allclose(found, vectors_VD @ vectors_VD[7], atol=0.005)
    assert _native.similarities(vectors_VD[7].tobytes(), b"") == b""
    with pytest.raises(ValueError, match="no vectors of 384 values"):
        _native.similarities(vectors_VD[7].tobytes(), blocks[1:])
    with pytest.raises(ValueError, match="multiple of 32"):
        _native.similarities(b"", blocks)
