"""Token ids that mean another model's tokens: translated through that model's published vocabulary.

A request for `gpt-4o-mini` with `logit_bias` or an array of ids holds ids of OpenAI's vocabulary. Read as our
own they would ban or say something else, in silence. The vocabulary is read where it is installed: in the
configured folder, or where `tiktoken` keeps its copies; without it such requests are refused with the remedy.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pennyweight.errors import ConfigError, InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.options import Options
    from pennyweight.text.tokenizer import Tokenizer

_FAMILIES = (
    ("gpt-4-", "cl100k_base"),
    ("gpt-3.5", "cl100k_base"),
    ("text-embedding-", "cl100k_base"),
    ("gpt-", "o200k_base"),
    ("chatgpt-", "o200k_base"),
    ("o1", "o200k_base"),
    ("o3", "o200k_base"),
    ("o4", "o200k_base"),
)
_PUBLISHED = "https://openaipublic.blob.core.windows.net/encodings"


def vocabulary_name(model: str) -> str | None:
    """The vocabulary whose ids a request for `model` holds; None for names that are not OpenAI's."""
    base = model.removeprefix("ft:")
    if base == "gpt-4":
        return "cl100k_base"
    return next((vocabulary for prefix, vocabulary in _FAMILIES if base.startswith(prefix)), None)


@dataclass(frozen=True, slots=True)
class ForeignVocabulary:
    """Bytes of every token by id."""

    name: str
    tokens: Mapping[int, bytes]

    @classmethod
    def read(cls, path: Path) -> ForeignVocabulary:
        """A file of lines `base64 rank`, as `tiktoken` publishes them. ConfigError if it is not one."""
        try:
            lines = path.read_bytes().splitlines()
            pairs = [line.split() for line in lines if line]
            tokens = {int(rank): base64.b64decode(token, validate=True) for token, rank in pairs}
        except (OSError, ValueError, binascii.Error) as error:
            message = f"the vocabulary {path} cannot be read: {error}; replace or remove it"
            raise ConfigError(message) from error
        return cls(path.stem, tokens)


class ForeignTexts:
    """Translates ids of OpenAI's vocabularies into the texts they stand for."""

    def __init__(self, *, folder: Path | None = None) -> None:
        """`folder` holds files such as `o200k_base.tiktoken`; None: only `tiktoken`'s cache is looked at."""
        self._folder = folder
        self._read: dict[str, ForeignVocabulary] = {}

    def prompt(self, ids: tuple[int, ...], *, asked: str, served: str, param: str) -> tuple[int, ...] | str:
        """A prompt of ids: our own ids as they are, foreign ones as the text they stand for."""
        name = None if asked == served else vocabulary_name(asked)
        if name is None:
            return ids
        vocabulary = self._vocabulary(name, asked, param)
        return b"".join(self._bytes(vocabulary, token, param) for token in ids).decode("utf-8", "replace")

    def _vocabulary(self, name: str, asked: str, param: str) -> ForeignVocabulary:
        if name not in self._read:
            path = find_vocabulary(name, self._folder)
            if path is None:
                message = (
                    f"'{param}' of a request for '{asked}' holds ids of the vocabulary {name}, which is not "
                    f"installed here. Ask for the model by its own name with its own ids, or put "
                    f"{name}.tiktoken into the folder of the setting `vocabularies`."
                )
                raise InvalidRequestError(message, param=param)
            self._read[name] = ForeignVocabulary.read(path)
        return self._read[name]

    def _bytes(self, vocabulary: ForeignVocabulary, token: int, param: str) -> bytes:
        if token not in vocabulary.tokens:
            message = f"'{param}' has the id {token}, which is no text in the vocabulary {vocabulary.name}."
            raise InvalidRequestError(message, param=param)
        return vocabulary.tokens[token]


class ForeignIds(ForeignTexts):
    """Translates them into ids of one model's tokenizer too."""

    def __init__(self, tokenizer: Tokenizer, *, folder: Path | None = None) -> None:
        super().__init__(folder=folder)
        self._tokenizer = tokenizer

    def options(self, options: Options, *, asked: str, served: str) -> Options:
        """`options` of a request for `asked`, in the ids of `served`, the model that runs."""
        sampling = options.sampling
        name = None if asked == served else vocabulary_name(asked)
        if name is None or not (sampling.logit_bias or sampling.stop_token_ids):
            return options
        param = "logit_bias" if sampling.logit_bias else "stop_token_ids"
        vocabulary = self._vocabulary(name, asked, param)
        bias = {self._own(vocabulary, t, "logit_bias"): b for t, b in sampling.logit_bias.items()}
        stops = frozenset(self._own(vocabulary, t, "stop_token_ids") for t in sampling.stop_token_ids)
        return replace(options, sampling=replace(sampling, logit_bias=bias, stop_token_ids=stops))

    def _own(self, vocabulary: ForeignVocabulary, token: int, param: str) -> int:
        data = self._bytes(vocabulary, token, param)
        own = self._by_bytes.get(data)
        if own is None:
            text = data.decode("utf-8", "replace")
            message = (
                f"'{param}' has the id {token} of {vocabulary.name}, {text!r}, which is not one token of the "
                "model that runs here; ask for the model by its own name with its own ids."
            )
            raise InvalidRequestError(message, param=param)
        return own

    @cached_property
    def _by_bytes(self) -> dict[bytes, int]:
        tokenizer = self._tokenizer
        plain = (token for token in range(tokenizer.vocab_size) if not tokenizer.is_control(token))
        return {tokenizer.token_bytes(token): token for token in plain}


def find_vocabulary(name: str, folder: Path | None) -> Path | None:
    """Where the file of a vocabulary is: in `folder`, else in `tiktoken`'s cache."""
    caches = [os.environ.get("TIKTOKEN_CACHE_DIR"), os.environ.get("DATA_GYM_CACHE_DIR")]
    cache = next((Path(value) for value in caches if value), Path(tempfile.gettempdir()) / "data-gym-cache")
    # tiktoken names its copies by the hash of where they came from
    cached = cache / hashlib.sha1(f"{_PUBLISHED}/{name}.tiktoken".encode(), usedforsecurity=False).hexdigest()
    places = [*([folder / f"{name}.tiktoken"] if folder else []), cached]
    return next((place for place in places if place.is_file()), None)
