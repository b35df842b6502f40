"""SentencePiece's `tokenizer.model`: a protocol buffer of pieces, scores and settings.

Read here because the file needs a tenth of that format, for which `protobuf` would be a dependency with
generated code. Numbers of fields: https://github.com/google/sentencepiece (sentencepiece_model.proto).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.text.folder_vocabulary import FOLDER_PREFIX, FolderVocabulary, embedding_rows
from pennyweight.text.spm import SPACE
from pennyweight.text.vocabulary import TokenType

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FILE: Final = "tokenizer.model"
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _BPE = 3, 2
_UNKNOWN_ID, _BOS_ID, _EOS_ID, _PAD_ID = 40, 41, 42, 43
_CHARACTER_MAP, _DUMMY_PREFIX, _REMOVE_BLANKS, _ESCAPE_BLANKS = 2, 3, 4, 5
_MAX_VARINT_BYTES: Final = 10


def read_sentencepiece(metadata: Mapping[str, Any]) -> FolderVocabulary:
    """The vocabulary of the file. ModelFileError if it is damaged, or of a kind this engine does not run."""
    data: bytes = metadata[FOLDER_PREFIX + "sentencepiece"]
    trainer: dict[int, Any] = {}
    normalizer: dict[int, Any] = {}
    pieces: list[dict[int, Any]] = []
    for number, value in _fields(data):
        if number == _PIECES:
            pieces.append(dict(_fields(value)))
        elif number == _TRAINER:
            trainer = dict(_fields(value))
        elif number == _NORMALIZER:
            normalizer = dict(_fields(value))
    if trainer.get(_MODEL_TYPE, 1) != _BPE:
        raise ModelFileError(f"{FILE}: its model is not BPE, the only kind of SentencePiece this engine runs")
    if (
        normalizer.get(_CHARACTER_MAP)
        or normalizer.get(_REMOVE_BLANKS, 1)
        or not normalizer.get(_ESCAPE_BLANKS, 1)
    ):
        raise ModelFileError(f"{FILE}: it changes characters or blanks of texts, which this engine does not")
    kept = pieces[: embedding_rows(metadata) + 1]  # one more shows that there are too many
    return FolderVocabulary(
        file=FILE,
        family="llama",
        tokens={token: _text(piece) for token, piece in enumerate(kept)},
        types={
            token: TokenType(piece[_TYPE])
            for token, piece in enumerate(kept)
            if piece.get(_TYPE, 1) in range(2, 7)
        },
        add_bos=True,
        roles=_roles(trainer),
        extra={
            "scores": _scores(kept, embedding_rows(metadata)),
            "add_space_prefix": bool(normalizer.get(_DUMMY_PREFIX, 1)),
        },
    )


def _text(piece: Mapping[int, Any]) -> str:
    """A piece found before the others stands in the text as it is, blanks included."""
    value = piece.get(_TEXT, b"")
    try:
        text = str(value, "utf-8")
        return text.replace(SPACE, " ") if piece.get(_TYPE) == TokenType.USER_DEFINED else text
    except (UnicodeDecodeError, TypeError) as error:
        raise ModelFileError(f"{FILE}: the piece {value!r:.60} is not text") from error


def _scores(pieces: list[dict[int, Any]], rows: int) -> list[float]:
    """A float32 each, and 0 for rows without a piece."""
    scores = []
    for piece in pieces[:rows]:
        raw = piece.get(_SCORE, bytes(4))
        if not isinstance(raw, bytes) or len(raw) != 4:
            raise ModelFileError(f"{FILE}: a piece's score is no number")
        scores.append(struct.unpack("<f", raw)[0])
    return scores + [0.0] * (rows - len(scores))


def _roles(trainer: Mapping[int, Any]) -> dict[str, int]:
    """Ids by role; -1, written as an unsigned number, is none."""
    roles = {"unknown": (_UNKNOWN_ID, 0), "bos": (_BOS_ID, 1), "eos": (_EOS_ID, 2), "padding": (_PAD_ID, -1)}
    found = {role: trainer.get(number, usual) for role, (number, usual) in roles.items()}
    return {role: token for role, token in found.items() if type(token) is int and 0 <= token < 1 << 31}


def _fields(data: Any) -> Iterator[tuple[int, Any]]:
    """Number and value of every field of a message: an int, or bytes for text, messages and floats."""
    if not isinstance(data, bytes):
        raise ModelFileError(f"{FILE} is not a SentencePiece model")
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ModelFileError(f"{FILE} is not a SentencePiece model")
        if position + size > len(data):
            raise ModelFileError(f"{FILE} is truncated, or not a SentencePiece model")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(_MAX_VARINT_BYTES):
        if position >= len(data):
            break
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:
            return value, position
    raise ModelFileError(f"{FILE} is truncated, or not a SentencePiece model")
