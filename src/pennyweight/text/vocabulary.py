"""A model's list of tokens as its file gives it: texts, types, scores and the ids with a role.

Keys and token types are those of GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from pennyweight.errors import ModelFileError

PREFIX = "tokenizer.ggml."

END_NAMES = frozenset(
    (
        "<|im_end|>",
        "<|eot_id|>",
        "<|eom_id|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|calls|>",
        "<|flush|>",
        "<|endoftext|>",
        "<|end_of_text|>",
        "<end_of_turn>",
        "<turn|>",
        "<end_of_utterance>",
        "<eos>",
        "[EOS]",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "<|eot|>",
        "<|EOT|>",
        "<｜end▁of▁sentence｜>",
    )
)
"""Control tokens that end a turn by name: files often set only one of several as `eos_token_id`."""

_CONTROL_LOOK = re.compile(
    r"<\|.*|.*\|>|<｜.*|\[/?[A-Z_]+\]|</?(?:tool|think|start_of|end_of|fim|bos|eos|im)(?:[_-][a-z_-]*)?>",
    re.DOTALL,
)


_NORMAL = 1  # as a plain number: it is compared once per token at start-up


class TokenType(IntEnum):
    """GGUF's `tokenizer.ggml.token_type`."""

    UNDEFINED = 0
    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vocabulary:
    """Token `i` is `texts[i]`; `control` and `literal` are the ids matched before the rest is tokenised.

    `control` tokens are recognised in trusted text only, `literal` ones (runs of blanks, HTML tags) in any
    text. `bytes` are the byte tokens of a SentencePiece vocabulary, called <0x00> to <0xFF>.
    """

    texts: Sequence[str]
    scores: Sequence[float]
    control: frozenset[int]
    literal: frozenset[int]
    bytes: frozenset[int]
    bos: int | None
    eos: int | None
    unknown: int | None
    ends: frozenset[int]

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Vocabulary:
        """Read and check the lists. ModelFileError names what is missing, too short or out of range."""
        texts = metadata.get(PREFIX + "tokens")
        if not isinstance(texts, Sequence) or not texts:
            raise ModelFileError(f"{PREFIX}tokens is missing or empty: the file holds no vocabulary.")
        types = _column(metadata, "token_type", len(texts), _NORMAL)
        unusual = [(i, kind) for i, kind in enumerate(types) if kind != _NORMAL and texts[i]]
        special = _role_ids(metadata, len(texts))
        user_defined = {i for i, kind in unusual if kind == TokenType.USER_DEFINED}
        control = {i for i, kind in unusual if kind in (TokenType.CONTROL, TokenType.UNKNOWN)}
        control |= {i for i in user_defined if _CONTROL_LOOK.fullmatch(texts[i])}
        control |= {special[role] for role in ("bos", "eos", "eot", "eom") if role in special}
        ends = _told_ends(metadata, len(texts))
        control |= ends
        return cls(
            texts=texts,
            scores=_column(metadata, "scores", len(texts), 0.0),
            control=frozenset(control),
            literal=frozenset(user_defined - control),
            bytes=frozenset(i for i, kind in unusual if kind == TokenType.BYTE),
            bos=special.get("bos", special.get("cls")),
            eos=special.get("eos"),
            unknown=special.get("unknown"),
            ends=_ends(texts, control, special) | ends,
        )

    @property
    def unmergeable(self) -> frozenset[int]:
        """Tokens no tokenising of plain text may give."""
        return self.control | self.literal | self.bytes

    def __len__(self) -> int:
        return len(self.texts)


def _column(metadata: Mapping[str, Any], name: str, size: int, default: float) -> Sequence[Any]:
    """A list with one entry per token; `default` for every token where the file has none."""
    values = metadata.get(PREFIX + name)
    if values is None:
        return [default] * size
    if not isinstance(values, Sequence) or len(values) != size:
        raise ModelFileError(f"{PREFIX}{name} must be a list of {size} entries, one per token.")
    return values


def _role_ids(metadata: Mapping[str, Any], size: int) -> dict[str, int]:
    """The ids that have a role, by the role's name; "seperator" is the file format's spelling."""
    roles = {}
    for role in ("bos", "eos", "eot", "eom", "unknown", "cls", "seperator", "padding", "mask"):
        token = metadata.get(f"{PREFIX}{role}_token_id")
        if token is None:
            continue
        if not isinstance(token, int) or not 0 <= token < size:
            raise ModelFileError(f"{PREFIX}{role}_token_id is {token!r}; it must be below {size}.")
        roles[role] = token
    return roles


def _told_ends(metadata: Mapping[str, Any], size: int) -> set[int]:
    """A list that folders have; GGUF knows one id per role."""
    ends = metadata.get(PREFIX + "end_token_ids", ())
    for token in ends:
        if token >= size:
            raise ModelFileError(f"eos_token_id {token} is beyond the {size} tokens of the vocabulary")
    return set(ends)


def _ends(texts: Sequence[str], control: set[int], special: Mapping[str, int]) -> frozenset[int]:
    """Tokens that end an answer: by role, and control tokens with a well-known name."""
    named = {texts[i]: i for i in control if texts[i] in END_NAMES}
    if {"<|return|>", "<|call|>"} <= named.keys():
        named.pop("<|end|>", None)  # harmony: it closes one message of several, not the answer
    return frozenset(named.values()) | {special[role] for role in ("eos", "eot", "eom") if role in special}
