"""The algorithm that a `tokenizer.json` describes, on the `tokenizers` library it was written for.

Two instances: one puts the model's space in front of a text, the other continues one.
"""

from __future__ import annotations

import json
import reprlib
from typing import TYPE_CHECKING, Any, Final

from tokenizers import Tokenizer, models

from pennyweight.errors import InvalidRequestError, ModelFileError
from pennyweight.text.bpe import byte_alphabet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pennyweight.text.tokenizer import Before
    from pennyweight.text.vocabulary import Vocabulary

_SPACE: Final = "▁"
_NORMALIZERS: Final = (
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Prepend",
    "Replace",
    "Lowercase",
    "Strip",
    "StripAccents",
)
_LOSSLESS: Final = ("ByteLevel", "Digits", "Metaspace", "Punctuation", "Sequence", "Split")


class LibraryModel:
    """Text to ids and ids to bytes as a `tokenizer.json` says."""

    def __init__(self, vocabulary: Vocabulary, document: Mapping[str, Any]) -> None:
        self._vocabulary = vocabulary
        pipeline = {key: document.get(key) for key in ("normalizer", "pre_tokenizer")}
        steps = [step for value in pipeline.values() for step in _steps(value)]
        for step in steps:
            if step.get("type") not in (*_NORMALIZERS, *_LOSSLESS):
                raise ModelFileError(f"tokenizer.json: the step {step.get('type')!r} is not supported")
        model = _model(document["model"], removed=_control_texts(vocabulary))
        self._starting = _library(pipeline, model)
        bare = {key: _without_prefix(value) for key, value in pipeline.items()}
        self._continuing = self._starting if bare == pipeline else _library(bare, model)
        self._after_special = not any(step.get("prepend_scheme") == "first" for step in steps)
        self.shrinks = _may_lose_text(steps)
        decoding = list(_steps(document.get("decoder")))
        kinds = {step.get("type") for step in decoding}
        self._byte_of = (
            {char: byte for byte, char in enumerate(byte_alphabet())} if "ByteLevel" in kinds else None
        )
        self.strips_space = any(map(_strips, decoding))
        if not kinds & {"ByteLevel", "Metaspace", "ByteFallback", "Replace"}:
            raise ModelFileError(f"tokenizer.json: the decoder {sorted(map(str, kinds))} is not supported")

    def encode(self, text: str, *, before: Before) -> list[int]:
        starts = before == "nothing" or (before == "special" and self._after_special)
        library = self._starting if starts else self._continuing
        try:
            # Of one text, as a batch: only this call lets other threads run while it works.
            ids: list[int] = library.encode_batch_fast([text], add_special_tokens=False)[0].ids
        except BaseException as error:
            if type(error).__name__ != "PanicException":  # a class the library does not export
                raise
            raise InvalidRequestError(
                f"the model's tokenizer.json cannot cut this text into words: {error}. Send another text."
            ) from error
        return ids

    def token_bytes(self, token: int) -> bytes:
        text = self._vocabulary.texts[token]
        byte_of = self._byte_of
        if token in self._vocabulary.control:
            return text.encode()
        if token in self._vocabulary.bytes:
            return bytes([int(text[3:5], 16)])
        if byte_of is None:
            return text.replace(_SPACE, " ").encode()
        if token in self._vocabulary.literal or any(char not in byte_of for char in text):
            return text.encode()
        return bytes(map(byte_of.__getitem__, text))


def _control_texts(vocabulary: Vocabulary) -> frozenset[str]:
    """Tokens that no text may merge into. The unknown one stays: the library asks for it."""
    return frozenset(vocabulary.texts[token] for token in vocabulary.control - {vocabulary.unknown})


def _model(described: Mapping[str, Any], *, removed: frozenset[str]) -> models.BPE:
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if described.get(key):
            raise ModelFileError(f"tokenizer.json: model.{key} is {described[key]!r}, which is not supported")
    ids: dict[str, int] = described["vocab"]
    pairs = _pairs(described.get("merges"))
    if not removed.isdisjoint(ids):
        ids = {text: token for text, token in ids.items() if text not in removed}
        pairs = [pair for pair in pairs if pair[0] + pair[1] not in removed and removed.isdisjoint(pair)]
    try:
        return models.BPE(
            ids,
            pairs,
            unk_token=described.get("unk_token"),
            fuse_unk=bool(described.get("fuse_unk")),
            byte_fallback=bool(described.get("byte_fallback")),
            ignore_merges=bool(described.get("ignore_merges")),
        )
    except Exception as error:  # the library raises plain Exception for a merge without its token
        raise ModelFileError(f"tokenizer.json: its merges do not fit its vocabulary: {error}") from error


def _pairs(merges: Any) -> list[tuple[str, str]]:
    """Each merge is two texts, or one with a blank between them."""
    if not isinstance(merges, list):
        raise ModelFileError("tokenizer.json: model.merges is no list")
    pairs = [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]
    for pair in pairs:
        if len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            raise ModelFileError(f"tokenizer.json: the merge {reprlib.repr(pair)} is not of two tokens")
    return pairs  # type: ignore[return-value]  # checked just now


def _library(pipeline: Mapping[str, Any], model: models.BPE) -> Tokenizer:
    empty = {"type": "BPE", "vocab": {}, "merges": []}
    document = {"version": "1.0", "added_tokens": [], "model": empty, **pipeline}
    try:
        library = Tokenizer.from_str(json.dumps(document))
    except Exception as error:  # what the library does not know, it tells as a plain Exception
        raise ModelFileError(f"tokenizer.json is not understood: {error}") from error
    library.model = model
    return library


def _steps(value: Any) -> Iterator[Mapping[str, Any]]:
    """A step, or those of a sequence."""
    if not isinstance(value, dict):
        return
    if value.get("type") == "Sequence":
        for key in ("normalizers", "pretokenizers", "decoders"):
            for step in value.get(key) or ():
                yield from _steps(step)
    else:
        yield value


def _without_prefix(value: Any) -> Any:
    """A normaliser or pre-tokenizer that puts nothing in front of a text."""
    if not isinstance(value, dict):
        return value
    if value.get("type") == "Sequence":
        inner = {
            key: [_without_prefix(step) for step in steps if _kind(step) != "Prepend"]
            for key, steps in value.items()
            if isinstance(steps, list)
        }
        return {**value, **inner}
    if value.get("type") == "Prepend":
        return None
    if value.get("type") == "Metaspace":
        kept = {key: entry for key, entry in value.items() if key != "add_prefix_space"}
        return {**kept, "prepend_scheme": "never"}
    if value.get("type") == "ByteLevel":
        return {**value, "add_prefix_space": False}
    return value


def _kind(step: Any) -> Any:
    return step.get("type") if isinstance(step, dict) else None


def _strips(step: Mapping[str, Any]) -> bool:
    """Whether decoding takes away the space that encoding put in front."""
    if step.get("type") == "Metaspace":
        return step.get("prepend_scheme", "always") != "never" and step.get("add_prefix_space") is not False
    return step.get("type") == "Strip" and bool(step.get("start"))


def _may_lose_text(steps: Sequence[Mapping[str, Any]]) -> bool:
    for step in steps:
        if step.get("type") == "Replace":
            pattern = step.get("pattern")
            if not isinstance(pattern, dict) or pattern.get("String") != " ":
                return True
        elif step.get("type") not in ("Prepend", *_LOSSLESS) or step.get("behavior") == "Removed":
            return True
    return False
