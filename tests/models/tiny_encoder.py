"""Tiny random text encoders, as a folder with safetensors and as a GGUF file of the same weights."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.models.gguf_writer import RawTensor, Typed, write_gguf
from tests.models.quantise import quantise

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

CONTROL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WORDS = (
    *"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-[]",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789"),
    *("the", "cat", "dog", "ship", "sail", "##ed", "##ing", "on", "mat", "sea", "uber", "日", "本"),
)
VOCABULARY = (*CONTROL, *WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TinyEncoder:
    """Sizes; `window` is what sentence-transformers would cut texts to."""

    num_layers: int = 2
    d_model: int = 64
    num_heads: int = 2
    d_ff: int = 96
    num_positions: int = 40
    window: int = 24
    norm_eps: float = 2.0**-40  # the same number in JSON and in GGUF's float32
    seed: int = 0

    def tensors(self) -> dict[str, Floats]:
        """By the names of `transformers`; biases and norms are not neutral."""
        random = np.random.default_rng(self.seed)

        def normal(*shape: int, scale: float) -> Floats:
            return (random.standard_normal(shape) * scale).astype(np.float32)

        tensors: dict[str, Floats] = {}

        def affine(name: str, rows: int, columns: int) -> None:
            tensors[f"{name}.weight"] = normal(rows, columns, scale=1.5 / columns**0.5)
            tensors[f"{name}.bias"] = normal(rows, scale=0.2)

        def norm(name: str) -> None:
            tensors[f"{name}.weight"] = 1 + normal(self.d_model, scale=0.1)
            tensors[f"{name}.bias"] = normal(self.d_model, scale=0.1)

        tensors["embeddings.word_embeddings.weight"] = normal(len(VOCABULARY), self.d_model, scale=1.0)
        tensors["embeddings.position_embeddings.weight"] = normal(self.num_positions, self.d_model, scale=0.3)
        tensors["embeddings.token_type_embeddings.weight"] = normal(2, self.d_model, scale=0.1)
        norm("embeddings.LayerNorm")
        for index in range(self.num_layers):
            layer = f"encoder.layer.{index}."
            for part in ("query", "key", "value"):
                affine(f"{layer}attention.self.{part}", self.d_model, self.d_model)
            affine(f"{layer}attention.output.dense", self.d_model, self.d_model)
            norm(f"{layer}attention.output.LayerNorm")
            affine(f"{layer}intermediate.dense", self.d_ff, self.d_model)
            affine(f"{layer}output.dense", self.d_model, self.d_ff)
            norm(f"{layer}output.LayerNorm")
        return tensors

    def config(self) -> dict[str, Any]:
        return {
            "model_type": "bert",
            "hidden_act": "gelu",
            "vocab_size": len(VOCABULARY),
            "hidden_size": self.d_model,
            "num_attention_heads": self.num_heads,
            "num_hidden_layers": self.num_layers,
            "intermediate_size": self.d_ff,
            "max_position_embeddings": self.num_positions,
            "type_vocab_size": 2,
            "layer_norm_eps": self.norm_eps,
            "position_embedding_type": "absolute",
        }


def tokenizer_json() -> dict[str, Any]:
    """As `transformers` saves BERT's tokenizer."""
    added = [
        {"id": index, "content": text, "special": True, "single_word": False, "lstrip": False,
         "rstrip": False, "normalized": False}
        for index, text in enumerate(CONTROL)
    ]  # fmt: skip
    ends = {text: {"id": text, "ids": [VOCABULARY.index(text)], "tokens": [text]} for text in CONTROL[2:4]}
    single = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
            "strip_accents": None, "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": ends,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {text: index for index, text in enumerate(VOCABULARY)},
        },
    }  # fmt: skip


def safetensors_bytes(tensors: dict[str, tuple[str, tuple[int, ...], bytes]], **about: str) -> bytes:
    """A whole file from type, shape and bytes by name; `about` goes into its metadata."""
    header, body = {}, b""
    for name, (kind, shape, data) in tensors.items():
        place = [len(body), len(body) + len(data)]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": place}
        body += data
    head = json.dumps({"__metadata__": {"format": "pt", **about}, **header}).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + body


def write_encoder_folder(
    folder: Path, tiny: TinyEncoder | None = None, *, kind: str = "F32", pooling: str = "mean_tokens"
) -> Path:
    """Everything sentence-transformers would save; returns `folder`."""
    tiny = tiny or TinyEncoder()
    (folder / "1_Pooling").mkdir(parents=True)
    stored = {name: (kind, values.shape, quantise(values, kind)) for name, values in tiny.tensors().items()}
    positions = np.arange(tiny.num_positions, dtype=np.int64)
    stored["embeddings.position_ids"] = ("I64", (1, tiny.num_positions), positions.tobytes())
    (folder / "model.safetensors").write_bytes(safetensors_bytes(stored))
    modules = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
    ]
    for name, value in (
        ("config.json", tiny.config()),
        ("tokenizer.json", tokenizer_json()),
        ("modules.json", modules),
        ("sentence_bert_config.json", {"max_seq_length": tiny.window, "do_lower_case": False}),
        (
            "1_Pooling/config.json",
            {"word_embedding_dimension": tiny.d_model, f"pooling_mode_{pooling}": True},
        ),
    ):
        (folder / name).write_text(json.dumps(value), encoding="utf-8")
    return folder


_GGUF_PARTS = {
    "embeddings.word_embeddings": "token_embd",
    "embeddings.position_embeddings": "position_embd",
    "embeddings.token_type_embeddings": "token_types",
    "embeddings.LayerNorm": "token_embd_norm",
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def gguf_metadata(tiny: TinyEncoder, **changes: Any) -> dict[str, Any]:
    """As llama.cpp's converter writes it."""
    marked = [text.removeprefix("##") if text.startswith("##") else f"▁{text}" for text in WORDS]
    return {
        "general.architecture": "bert",
        "general.name": "tiny encoder",
        "bert.block_count": tiny.num_layers,
        "bert.context_length": tiny.window,
        "bert.embedding_length": tiny.d_model,
        "bert.feed_forward_length": tiny.d_ff,
        "bert.attention.head_count": tiny.num_heads,
        "bert.attention.layer_norm_epsilon": tiny.norm_eps,
        "bert.attention.causal": False,
        "bert.pooling_type": 1,
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.tokens": [*CONTROL, *marked],
        "tokenizer.ggml.token_type": Typed("i32", [3] * len(CONTROL) + [1] * len(WORDS)),
        "tokenizer.ggml.unknown_token_id": 1,
        "tokenizer.ggml.cls_token_id": 2,
        "tokenizer.ggml.seperator_token_id": 3,
        **changes,
    }


def gguf_tensors(tiny: TinyEncoder, kind: str) -> dict[str, RawTensor]:
    """`kind` is the type of the words and the layers' matrices."""
    tensors = {}
    for name, values in tiny.tensors().items():
        stem, _, end = name.rpartition(".")
        prefix = ""
        if stem.startswith("encoder.layer."):
            index, _, stem = stem.removeprefix("encoder.layer.").partition(".")
            prefix = f"blk.{index}."
        part = _GGUF_PARTS[stem]
        own = kind if values.ndim > 1 and part not in ("position_embd", "token_types") else "F32"
        tensors[f"{prefix}{part}.{end}"] = RawTensor(own, values.shape, quantise(values, own))
    return tensors


def write_encoder_gguf(
    path: Path, tiny: TinyEncoder | None = None, *, kind: str = "F32", **changes: Any
) -> Path:
    """The same encoder in one file."""
    tiny = tiny or TinyEncoder()
    return write_gguf(path, gguf_metadata(tiny, **changes), gguf_tensors(tiny, kind))
