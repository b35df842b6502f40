"""Published vocabularies as folders and as GGUF files keep them: the same tokens in many languages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pennyweight.text.gguf_vocabulary import gguf_vocabulary
from pennyweight.text.pretokenizers import find_pretokenizer
from pennyweight.text.tokenizer import Tokenizer
from tests.text import vocabularies
from tests.text.folder_files import folder_metadata, sentencepiece_bytes, tekken_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
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


def check_same(folder: dict[str, Any], texts: Iterable[str], *, strips: bool = False) -> dict[str, Any]:
    """The folder's vocabulary as GGUF's, which gives the same ids.

    `strips`: of texts without blanks in front. A Metaspace puts no space before one, GGUF's kind always does.
    """
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
    own = check_same(folder_metadata(32_000, {"sentencepiece": sentencepiece_bytes(llama)}), texts)
    assert list(own["tokenizer.ggml.scores"]) == list(llama["tokenizer.ggml.scores"])
    assert list(own["tokenizer.ggml.token_type"]) == list(llama["tokenizer.ggml.token_type"])
    rule = find_pretokenizer("tekken", None)
    config = {"pattern": rule.patterns[0], "default_vocab_size": 50_260, "default_num_special_tokens": 4}
    own = check_same(folder_metadata(50_260, {"tekken": tekken_bytes(gpt2, config=config)}), texts)
    assert own["tokenizer.ggml.pre"] == "tekken"
