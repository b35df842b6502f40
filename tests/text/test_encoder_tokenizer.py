"""Ids of encoders against the `tokenizers` library reading the same `tokenizer.json`."""

from __future__ import annotations

import gzip
import json
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from pennyweight.errors import InvalidRequestError, ModelFileError, ModelNotFoundError
from pennyweight.models.catalog import DEFAULT_ENCODER
from pennyweight.models.json_file import read_json
from pennyweight.models.local import resolve
from pennyweight.text.encoder_tokenizer import EncoderTokenizer
from tests.models.tiny_encoder import CONTROL, VOCABULARY, TinyEncoder, gguf_metadata, tokenizer_json

if TYPE_CHECKING:
    from pathlib import Path

TINY = EncoderTokenizer(tokenizer_json())
LIBRARY = Tokenizer.from_str(json.dumps(tokenizer_json()))


def _ids(tokenizer: EncoderTokenizer, text: str) -> list[int]:
    return [tokenizer.opening, *chain.from_iterable(tokenizer.encode(text)), tokenizer.closing]


@pytest.mark.parametrize(
    "text", ["", "The cats sailed on the über-mat.", "日本 cat", "x" * 200, "\x00a\tb\n"]
)
def test_ids_are_the_library_s(text: str) -> None:
    assert _ids(TINY, text) == LIBRARY.encode(text).ids


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="[]")))
def test_ids_of_any_text_are_the_library_s(text: str) -> None:
    assert _ids(TINY, text) == LIBRARY.encode(text).ids


def test_gguf_metadata_gives_the_same_tokenizer() -> None:
    metadata: dict[str, Any] = {
        key: value if not hasattr(value, "value") else value.value
        for key, value in gguf_metadata(TinyEncoder()).items()
    }
    gguf = EncoderTokenizer(metadata)
    text = "the cat's dogs [CLS] sailing on 日本 the sea"
    assert _ids(gguf, text) == _ids(TINY, text)
    assert (gguf.opening, gguf.closing, gguf.vocab_size) == (2, 3, len(VOCABULARY))


def test_a_control_token_in_a_text_stays_text() -> None:
    ids = list(chain.from_iterable(TINY.encode("cat [SEP] [MASK] dog")))
    assert not set(ids) & {VOCABULARY.index(text) for text in CONTROL}
    assert len(ids) == 1 + 5 + 6 + 1


def test_long_texts_come_in_runs_with_the_same_ids() -> None:
    text = "the cat on the mat " * 10_000
    runs = list(TINY.encode(text))
    assert len(runs) > 2
    assert list(chain.from_iterable(runs)) == LIBRARY.encode(text, add_special_tokens=False).ids


def test_half_a_surrogate_pair_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="surrogate"):
        list(TINY.encode("a\ud800b"))


@pytest.mark.parametrize(
    ("part", "changes", "saying"),
    [
        ("normalizer", {"type": "NFC"}, "normalizer.type"),
        ("normalizer", {"handle_chinese_chars": False}, "handle_chinese_chars"),
        ("pre_tokenizer", {"type": "Whitespace"}, "pre_tokenizer.type"),
        ("model", {"type": "BPE"}, "only WordPiece"),
        ("model", {"continuing_subword_prefix": "@@"}, "continuing_subword_prefix"),
        ("model", {"vocab": {"a": 0, "b": 2}}, "numbered from 0"),
        ("model", {"vocab": {"[UNK]": 0, "[CLS]": 1}}, r"no \[SEP\]"),
    ],
)
def test_another_algorithm_is_refused(part: str, changes: dict[str, Any], saying: str) -> None:
    document = tokenizer_json()
    document[part] = {**document[part], **changes}
    with pytest.raises(ModelFileError, match=saying):
        EncoderTokenizer(document)


def test_a_chat_model_s_vocabulary_is_refused() -> None:
    with pytest.raises(ModelFileError, match="'gpt2'"):
        EncoderTokenizer({"tokenizer.ggml.model": "gpt2"})


@pytest.mark.model
def test_the_default_encoder_s_ids_in_every_language(shared_data: Path) -> None:
    """All 532 translations of one text, whole; `transformers` reads this very file for its ids."""
    try:
        folder = resolve(DEFAULT_ENCODER).parent
    except ModelNotFoundError as error:
        pytest.skip(error.message)
    ours = EncoderTokenizer(read_json(folder / "tokenizer.json"))
    library = Tokenizer.from_file(str(folder / "tokenizer.json"))
    library.no_truncation()
    library.no_padding()
    with gzip.open(shared_data / "udhr" / "udhr.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            assert _ids(ours, row["text"]) == library.encode(row["text"]).ids, row["name"]
