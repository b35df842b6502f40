"""Ids of another model's vocabulary are translated or refused, never taken for our own."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

import pytest

from pennyweight.answers.foreign_ids import ForeignIds, find_vocabulary, vocabulary_name
from pennyweight.answers.options import Options
from pennyweight.core import SamplingParams
from pennyweight.errors import ConfigError, InvalidRequestError
from tests.answers.scripted_engine import byte_token, read_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

WORDS = (b"a", b"z", b"he", b"unheard", b"\xff")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines = [base64.b64encode(word) + b" %d" % (100 + index) for index, word in enumerate(WORDS)]
    (tmp_path / "o200k_base.tiktoken").write_bytes(b"\n".join(lines) + b"\n")
    return tmp_path


@pytest.fixture
def foreign(tiny_llama_path: Path, folder: Path) -> ForeignIds:
    return ForeignIds(read_tokenizer(tiny_llama_path), folder=folder)


def options(**sampling: object) -> Options:
    return Options(sampling=SamplingParams(**sampling))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("gpt-4o-mini", "o200k_base"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("text-embedding-3-small", "cl100k_base"),
        ("smollm2-135m-instruct", None),
        ("ours", None),
    ],
)
def test_whose_ids_they_are(model: str, name: str | None) -> None:
    assert vocabulary_name(model) == name


def test_ids_are_translated(foreign: ForeignIds) -> None:
    asked = options(logit_bias={101: 5.0}, stop_token_ids=frozenset({100}))
    sampling = foreign.options(asked, asked="gpt-4o-mini", served="tiny").sampling
    assert sampling.logit_bias == {byte_token(ord("z")): 5.0}
    assert sampling.stop_token_ids == {byte_token(ord("a"))}
    prompt = foreign.prompt((102, 100), asked="gpt-4o-mini", served="tiny", param="prompt")
    assert prompt == "hea"


@pytest.mark.parametrize(("asked", "served"), [("tiny", "tiny"), ("gpt-oss", "gpt-oss"), ("mine", "tiny")])
def test_our_own_ids_stay(foreign: ForeignIds, asked: str, served: str) -> None:
    own = options(logit_bias={5: 1.0})
    assert foreign.options(own, asked=asked, served=served) is own
    assert foreign.prompt((1, 2), asked=asked, served=served, param="prompt") == (1, 2)


@pytest.mark.parametrize(("token", "says"), [(103, "not one token"), (5, "no text"), (104, "b'|one token")])
def test_an_id_without_a_counterpart(foreign: ForeignIds, token: int, says: str) -> None:
    if token == 104:  # a single byte is a token of this byte-level vocabulary
        translated = foreign.options(options(logit_bias={token: 1.0}), asked="gpt-4o", served="tiny")
        assert translated.sampling.logit_bias == {byte_token(0xFF): 1.0}
        return
    with pytest.raises(InvalidRequestError, match=says) as caught:
        foreign.options(options(logit_bias={token: 1.0}), asked="gpt-4o", served="tiny")
    assert caught.value.param == "logit_bias"


def test_without_the_vocabulary_the_remedy_is_told(
    tiny_llama_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    foreign = ForeignIds(read_tokenizer(tiny_llama_path))
    with pytest.raises(InvalidRequestError, match=r"o200k_base\.tiktoken.*`vocabularies`") as caught:
        foreign.options(options(stop_token_ids=frozenset({1})), asked="gpt-4o-mini", served="tiny")
    assert caught.value.param == "stop_token_ids"


def test_where_tiktoken_keeps_its_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert find_vocabulary("o200k_base", None) is None
    url = b"https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
    copy = tmp_path / hashlib.sha1(url).hexdigest()
    copy.write_bytes(b"")
    assert find_vocabulary("o200k_base", None) == copy


@pytest.mark.parametrize("content", [b"!!! 1\n", b"YQ==\n", b"YQ== x\n"])
def test_a_file_that_is_no_vocabulary(foreign: ForeignIds, folder: Path, content: bytes) -> None:
    (folder / "o200k_base.tiktoken").write_bytes(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        foreign.options(options(logit_bias={1: 1.0}), asked="gpt-4o", served="tiny")
