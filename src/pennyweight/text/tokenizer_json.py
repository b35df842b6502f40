"""`tokenizer.json`: the vocabulary and the algorithm of the `tokenizers` library, run by that library.

Its added tokens are left out: they are found before the library sees a text (`special_tokens`), so that a
user's text cannot become one.
"""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.text.folder_vocabulary import FOLDER_PREFIX, FolderVocabulary, json_object
from pennyweight.text.vocabulary import TokenType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE: Final = "tokenizer.json"
FAMILY: Final = "huggingface"
_BYTE_NAMES: Final = frozenset(f"<0x{byte:02X}>" for byte in range(256))


def read_tokenizer_json(metadata: Mapping[str, Any]) -> FolderVocabulary:
    """The vocabulary of the file. ModelFileError if it is none, or of a kind this engine does not run."""
    document = json_object(metadata[FOLDER_PREFIX + "json"], FILE)
    model = document.get("model")
    if not isinstance(model, dict) or model.get("type", "BPE") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else model
        raise ModelFileError(f"{FILE}: the model is {reprlib.repr(kind)}; this engine runs BPE")
    ids = model.get("vocab")
    if not isinstance(ids, dict) or not all(type(token) is int and token >= 0 for token in ids.values()):
        raise ModelFileError(f"{FILE}: model.vocab is no table of ids by token")
    tokens = {token: text for text, token in ids.items()}
    if len(tokens) < len(ids):
        raise ModelFileError(f"{FILE}: two tokens of model.vocab have one id")
    types: dict[int, TokenType] = {}
    if model.get("byte_fallback"):
        types = {ids[name]: TokenType.BYTE for name in _BYTE_NAMES & ids.keys()}
    strips: dict[str, list[int]] = {"lstrip": [], "rstrip": []}
    for token, added in _added(document):
        tokens[token] = added["content"]
        types[token] = TokenType.CONTROL if added.get("special") else TokenType.USER_DEFINED
        for side, marked in strips.items():
            if added.get(side):
                marked.append(token)
    return FolderVocabulary(
        file=FILE,
        family=FAMILY,
        tokens=tokens,
        types=types,
        add_bos=_begins_with_token(document.get("post_processor")),
        extra={"document": document, "strip_left": strips["lstrip"], "strip_right": strips["rstrip"]},
    )


def _added(document: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    for added in document.get("added_tokens") or ():
        token = added.get("id") if isinstance(added, dict) else None
        if type(token) is not int or token < 0 or not isinstance(added.get("content"), str):
            raise ModelFileError(f"{FILE}: the added token {reprlib.repr(added)} is malformed")
        if added.get("single_word"):
            raise ModelFileError(f"{FILE}: the added token {added['content']!r} is for whole words only")
        yield token, added


def _begins_with_token(processor: Any) -> bool:
    """Whether a special token is put in front of every text."""
    if not isinstance(processor, dict):
        return False
    if processor.get("type") == "Sequence":
        return any(map(_begins_with_token, processor.get("processors") or ()))
    template = processor.get("single")
    return isinstance(template, list) and bool(template) and "SpecialToken" in template[0]
