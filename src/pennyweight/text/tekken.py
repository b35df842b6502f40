"""Tekken's `tekken.json`: tokens as bytes by rank, a pattern that cuts words, and control tokens in front.

Mistral's own `mistral-common` reads it too, with a dozen dependencies of which none is needed to encode.
Format: https://github.com/mistralai/mistral-common (Tekkenizer).
"""

from __future__ import annotations

import base64
import binascii
import reprlib
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.text.bpe import byte_alphabet
from pennyweight.text.folder_vocabulary import (
    FOLDER_PREFIX,
    FolderVocabulary,
    embedding_rows,
    json_object,
)
from pennyweight.text.vocabulary import TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE: Final = "tekken.json"
FAMILY: Final = "tekken"
_BEFORE_LISTS: Final = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]"),
    *("[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]"),
)
"""The control tokens of files that do not list theirs."""


def read_tekken(metadata: Mapping[str, Any]) -> FolderVocabulary:
    """The vocabulary of the file. ModelFileError if it is malformed."""
    document = json_object(metadata[FOLDER_PREFIX + "tekken"], FILE)
    config, ranked = document.get("config"), document.get("vocab")
    if (
        not isinstance(config, dict)
        or not isinstance(ranked, list)
        or not isinstance(config.get("pattern"), str)
    ):
        raise ModelFileError(f"{FILE} is not a Tekken vocabulary: 'config' or 'vocab' is missing")
    size = _count(config, "default_vocab_size", low=1)
    num_special = _count(config, "default_num_special_tokens", low=0, high=size)
    tokens = _special(document.get("special_tokens"), num_special)
    types = dict.fromkeys(tokens, TokenType.CONTROL)
    alphabet = byte_alphabet()
    for rank, entry in enumerate(ranked[: size - num_special]):
        tokens[num_special + rank] = "".join(alphabet[byte] for byte in _bytes(entry, rank))
    return FolderVocabulary(
        file=FILE,
        family=FAMILY,
        tokens=tokens,
        types=types,
        add_bos=True,
        roles={"unknown": 0, "bos": 1, "eos": 2} if num_special > 2 else {},
        extra={"scores": _scores(num_special, embedding_rows(metadata)), "pattern": config["pattern"]},
    )


def _count(config: Mapping[str, Any], key: str, *, low: int, high: int = 1 << 24) -> int:
    value = config.get(key)
    if type(value) is not int or not low <= value <= high:
        raise ModelFileError(
            f"{FILE}: {key} is {reprlib.repr(value)}; expected a number from {low} to {high}"
        )
    return value


def _special(listed: Any, count: int) -> dict[int, str]:
    """Texts of the first `count` ids; those without a name cannot be written."""
    found = {token: f"<SPECIAL_{token}>" for token in range(count)}
    if listed is None:
        return found | dict(enumerate(_BEFORE_LISTS[:count]))
    for entry in listed if isinstance(listed, list) else [listed]:
        rank = entry.get("rank") if isinstance(entry, dict) else None
        if type(rank) is not int or not isinstance(entry.get("token_str"), str):
            raise ModelFileError(f"{FILE}: the special token {reprlib.repr(entry)} is malformed")
        if 0 <= rank < count:
            found[rank] = entry["token_str"]
    return found


def _bytes(entry: Any, rank: int) -> bytes:
    if not isinstance(entry, dict) or entry.get("rank") != rank:
        raise ModelFileError(f"{FILE}: the token at rank {rank} is {reprlib.repr(entry)}")
    try:
        return base64.b64decode(entry["token_bytes"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ModelFileError(f"{FILE}: the token at rank {rank} has no bytes") from error


def _scores(num_special: int, rows: int) -> list[float]:
    """The lower the rank, the earlier two tokens merge into it."""
    return [float(num_special - row) for row in range(rows)]
