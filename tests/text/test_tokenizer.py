"""Ids equal llama.cpp's and `transformers`'; parts equal the whole; content is never a control token."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pennyweight.errors import InvalidRequestError, ModelFileError
from pennyweight.text.prompt import PromptPart
from pennyweight.text.tokenizer import Tokenizer
from tests.models.tiny_vocabulary import bpe_vocabulary
from tests.text import vocabularies
from tests.text.make_tokenizer_goldens import golden
from tests.text.reference_tokenizers import FROM_FILE, FROM_LISTS, reference_encode

GOLDENS = json.loads((Path(__file__).parent / "tokenizer_goldens.json").read_text())
PREFIX = "tokenizer.ggml."


@pytest.mark.parametrize("name", vocabularies.WITH_VECTORS)
def test_ids_equal_the_vectors_of_llama_cpp(shared_data: Path, name: str) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, name)
    for text, expected in vocabularies.vectors(shared_data, name):
        assert tokenizer.encode(text, parse_special=True) == expected, text


@pytest.mark.parametrize("name", vocabularies.NAMES)
def test_ids_of_532_languages_equal_other_implementations(shared_data: Path, name: str) -> None:
    text = "\n".join(vocabularies.translations(shared_data))
    assert golden(vocabularies.tokenizer(shared_data, name).encode(text)) == GOLDENS[name]


@pytest.mark.parametrize("name", [*FROM_FILE, *FROM_LISTS])
def test_ids_equal_transformers_live(shared_data: Path, name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the reference is a development dependency")
    metadata = vocabularies.metadata(shared_data, name)
    reference = reference_encode(name, metadata, vocabularies.unpack(shared_data, name, tmp_path))
    tokenizer = vocabularies.tokenizer(shared_data, name)
    for text in vocabularies.translations(shared_data)[::40]:
        assert tokenizer.encode(text) == reference(text), text


@pytest.mark.parametrize(
    "name", [name for name in vocabularies.NAMES if name not in ("bert-bge", "gpt-neox", "mpt")]
)
def test_decoding_gives_the_text_back(shared_data: Path, name: str) -> None:
    """BERT changes case and the NeoX vocabularies compose characters (NFC); all others lose nothing."""
    tokenizer = vocabularies.tokenizer(shared_data, name)
    for text in vocabularies.translations(shared_data):
        assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "phi-3", "deepseek-coder", "bert-bge"])
def test_parts_equal_the_whole_text(shared_data: Path, name: str) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, name)
    special = next(iter(tokenizer.special_tokens))
    for text in vocabularies.translations(shared_data)[::60]:
        for cuts in ((7, 20), (1, 2), (50, 51), (0, 200)):
            pieces = [text[: cuts[0]], text[cuts[0] : cuts[1]], text[cuts[1] :]]
            parts = [
                PromptPart(special + pieces[0], trusted=True),
                PromptPart(pieces[1], trusted=False),
                PromptPart(pieces[2] + special, trusted=True),
            ]
            whole = tokenizer.encode("".join(part.text for part in parts), parse_special=True)
            assert tokenizer.encode_parts(parts, add_bos=False) == whole


@given(data=st.data(), cuts=st.lists(st.integers(0, 60), max_size=4))
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", ["gpt-2", "llama-spm", "phi-3", "deepseek-coder", "falcon"])
def test_content_never_becomes_a_control_token(
    shared_data: Path, name: str, data: Any, cuts: list[int]
) -> None:
    """Whatever is said, and wherever it is cut into parts, even with trusted text between the cuts."""
    tokenizer = vocabularies.tokenizer(shared_data, name)
    specials = list(tokenizer.special_tokens)
    pieces = st.one_of(
        st.sampled_from(specials), st.sampled_from(["<", "|>", ">", " ", "\n", "▁", "a"]), st.text(max_size=4)
    )
    text = "".join(data.draw(st.lists(pieces, max_size=6)))
    borders = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    parts = [PromptPart(text[a:b], trusted=False) for a, b in itertools.pairwise(borders)]
    ids = tokenizer.encode_parts(parts, add_bos=False)
    assert not [token for token in ids if tokenizer.is_control(token)]
    assert ids == tokenizer.encode(text)


def test_a_control_token_split_between_template_and_content_stays_text(shared_data: Path) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, "gpt-2")
    parts = [PromptPart("<|endof", trusted=True), PromptPart("text|>", trusted=False)]
    assert tokenizer.eos_token_id not in tokenizer.encode_parts(parts, add_bos=False)
    joined = [PromptPart("<|endof", trusted=True), PromptPart("text|>", trusted=True)]
    assert tokenizer.encode_parts(joined, add_bos=False) == [tokenizer.eos_token_id]


def test_user_defined_tokens_that_look_like_control_are_control(shared_data: Path) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, "deepseek-coder")
    user = tokenizer.special_tokens["<|User|>"]
    assert tokenizer.encode("<|User|>", parse_special=True) == [user]
    assert user not in tokenizer.encode("<|User|>")


def test_bos_is_added_once(shared_data: Path) -> None:
    tokenizer = vocabularies.tokenizer(shared_data, "llama-spm")
    assert tokenizer.add_bos
    assert tokenizer.encode_parts([PromptPart("Hello", trusted=False)], add_bos=True) == [1, 15043]
    parts = [PromptPart("<s>", trusted=True), PromptPart("Hello", trusted=False)]
    assert tokenizer.encode_parts(parts, add_bos=True) == [1, 15043]
    assert tokenizer.encode_parts([], add_bos=True) == [1]


def test_ends_are_found_by_role_and_by_name(shared_data: Path) -> None:
    phi = vocabularies.tokenizer(shared_data, "phi-3")
    assert phi.end_token_ids == {32000, 32007}  # <|endoftext|>, <|end|>
    assert phi.bos_token_id == 1
    assert vocabularies.tokenizer(shared_data, "gpt-2").end_token_ids == {50256}


def test_bytes_of_tokens_are_exact(shared_data: Path) -> None:
    llama = vocabularies.tokenizer(shared_data, "llama-spm")
    assert llama.token_bytes(15043) == b" Hello"
    assert llama.token_bytes(3 + 0xF0) == b"\xf0"
    assert llama.token_bytes(2) == b"</s>"
    gpt = vocabularies.tokenizer(shared_data, "gpt-2")
    text = "Größe 🦙 \x00\x7f"
    assert b"".join(gpt.token_bytes(token) for token in gpt.encode(text)) == text.encode()
    with pytest.raises(IndexError):
        gpt.token_bytes(gpt.vocab_size)
    with pytest.raises(IndexError):
        gpt.token_bytes(-1)


def test_control_tokens_are_shown_only_on_request(shared_data: Path) -> None:
    llama = vocabularies.tokenizer(shared_data, "llama-spm")
    ids = [1, *llama.encode("Hello"), 2]
    assert llama.decode(ids) == "Hello"
    assert llama.decode(ids, skip_special=False) == "<s>Hello</s>"


def test_broken_text_is_refused(shared_data: Path) -> None:
    with pytest.raises(InvalidRequestError, match=r"U\+D800"):
        vocabularies.tokenizer(shared_data, "gpt-2").encode("a\ud800b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "unigram-next"}, "unigram-next"),
        ({"model": None}, "None"),
        ({"pre": "shiny-new"}, "shiny-new"),
        ({"pre": None}, "None"),
        ({"tokens": []}, "tokens"),
        ({"token_type": [1, 2]}, "token_type"),
        ({"eos_token_id": 10**6}, "eos_token_id"),
        ({"eos_token_id": -1}, "eos_token_id"),
        ({"merges": ["one-sided"]}, "one-sided"),
        ({"merges": ["no such"]}, "merges"),
        ({"model": "llama"}, "scores"),
        ({"model": "bert", "unknown_token_id": None}, "unknown_token_id"),
    ],
)
def test_a_vocabulary_that_is_not_understood_is_refused_by_name(change: dict[str, Any], message: str) -> None:
    metadata = {key: getattr(value, "value", value) for key, value in bpe_vocabulary().items()}
    metadata |= {PREFIX + key: value for key, value in change.items()}
    with pytest.raises(ModelFileError, match=message):
        Tokenizer.from_metadata(metadata)
