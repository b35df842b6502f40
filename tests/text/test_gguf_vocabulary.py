"""Published vocabularies as folders and as GGUF files keep them: the same tokens in many languages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pennyweight.models.huggingface.text_files import read_text_files
from pennyweight.text.gguf_vocabulary import gguf_vocabulary
from pennyweight.text.pretokenizers import find_pretokenizer
from pennyweight.text.tokenizer import Tokenizer
from tests.text import vocabularies
from tests.text.folder_files import folder_metadata, sentencepiece_bytes, tekken_bytes

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = (
    "",
    " ",
    "  two   blanks\n\n\t",
    "it's 12345 <|im_end|> </s>",
    "x" * 200,
    "\u0000\ufffd",
    "日本語 🙂",
)


def same(folder: dict[str, Any], texts: tuple[str, ...], *, strips: bool = False) -> dict[str, Any]:
    """The folder's metadata as GGUF's, which gives the same ids."""
    own = gguf_vocabulary(folder)
    ours, theirs = Tokenizer.from_metadata({**folder, **own}), Tokenizer.from_metadata(folder)
    for text in (text.lstrip() if strips else text for text in (*TEXTS, *texts)):
        assert ours.encode(text) == theirs.encode(text)
        assert ours.encode(text, parse_special=True) == theirs.encode(text, parse_special=True)
    assert ours.end_token_ids == theirs.end_token_ids
    return own


def test_files_of_sentencepiece_and_tekken(shared_data: Path) -> None:
    texts = vocabularies.translations(shared_data)[::8]
    llama, gpt2 = (vocabularies.metadata(shared_data, name) for name in ("llama-spm", "gpt-2"))
    own = same(folder_metadata(32_000, {"sentencepiece": sentencepiece_bytes(llama)}), texts)
    assert list(own["tokenizer.ggml.scores"]) == list(llama["tokenizer.ggml.scores"])
    assert list(own["tokenizer.ggml.token_type"]) == list(llama["tokenizer.ggml.token_type"])
    rule = find_pretokenizer("tekken", None)
    config = {"pattern": rule.patterns[0], "default_vocab_size": 50_260, "default_num_special_tokens": 4}
    own = same(folder_metadata(50_260, {"tekken": tekken_bytes(gpt2, config=config)}), texts)
    assert own["tokenizer.ggml.pre"] == "tekken"


@pytest.mark.parametrize(
    ("name", "model", "rule"),
    [("gpt-2", "gpt2", "gpt-2"), ("llama-spm", "llama", "default"), ("phi-3", "llama", "default")],
)
def test_saved_tokenizers(name: str, model: str, rule: str, shared_data: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is a development dependency")
    path = vocabularies.unpack(shared_data, name, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    theirs.save_pretrained(tmp_path / "folder")
    rows = max(theirs.get_vocab().values()) + 1
    folder = {"general.architecture": "x", "x.vocab_size": rows}
    folder |= dict(read_text_files(tmp_path / "folder", {}).metadata)
    # a Metaspace puts no space in front of a blank, GGUF's kind (as SentencePiece itself) always one
    own = same(folder, vocabularies.translations(shared_data)[::8], strips=name == "llama-spm")
    assert (own["tokenizer.ggml.model"], own["tokenizer.ggml.pre"]) == (model, rule)
