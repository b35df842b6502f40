"""Text to token ids and back, from the metadata of a model file.

Same ids as llama.cpp and `transformers` give for the same model. Special tokens are cut out first (see
`special_tokens`); what lies between them goes to the vocabulary's own algorithm, in runs that ignore the
borders of prompt parts. So the ids of a prompt in parts equal those of its whole text whenever every control
token in that text lies in trusted parts; a control token's text anywhere else is tokenised as plain
characters.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pennyweight.errors import InvalidRequestError, ModelFileError
from pennyweight.text.folder_vocabulary import with_vocabulary
from pennyweight.text.prompt import PromptPart
from pennyweight.text.special_tokens import SpecialTokens
from pennyweight.text.vocabulary import PREFIX, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pennyweight.text.piece_memory import OwnPieces

Before = Literal["nothing", "special", "text"]
"""What stands before a run of text: some vocabularies put a space in front of what begins."""


class TokenModel(Protocol):
    """What a family of vocabularies does with text that holds no special token."""

    @property
    def strips_space(self) -> bool:
        """Decoding drops one leading space, at the start of a text and after a special token."""
        ...

    @property
    def shrinks(self) -> bool:
        """Whether text may lose characters before it is cut into tokens (normal forms, accents)."""
        ...

    def encode(self, text: str, *, before: Before) -> list[int]: ...

    def token_bytes(self, token: int) -> bytes: ...


class Tokenizer:
    """Immutable and safe to share between threads."""

    def __init__(
        self, vocabulary: Vocabulary, model: TokenModel, *, add_bos: bool, special: SpecialTokens
    ) -> None:
        self._vocabulary = vocabulary
        self._model = model
        self._special = special
        self.add_bos = add_bos
        """Whether the model expects `bos_token_id` in front of every prompt."""

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> Tokenizer:
        """Build from GGUF's `tokenizer.ggml.*`, or from a folder's files.

        ModelFileError names an unknown family or a broken list.
        """
        metadata = with_vocabulary(metadata)
        vocabulary = Vocabulary.from_metadata(metadata)
        model, add_bos = _build_model(metadata, vocabulary)
        special = SpecialTokens(
            vocabulary,
            strip_left=frozenset(metadata.get(PREFIX + "strip_left", ())),
            strip_right=_strip_right(metadata, vocabulary),
        )
        return cls(
            vocabulary, model, add_bos=bool(metadata.get(PREFIX + "add_bos_token", add_bos)), special=special
        )

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._vocabulary.texts))

    def fewest_tokens(self, num_chars: int) -> int:
        """A lower bound of the tokens of a text, known without reading it; 0 where there is none."""
        return 0 if self._model.shrinks else num_chars // self._longest

    @property
    def vocab_size(self) -> int:
        return len(self._vocabulary)

    @property
    def bos_token_id(self) -> int | None:
        return self._vocabulary.bos

    @property
    def eos_token_id(self) -> int | None:
        return self._vocabulary.eos

    @property
    def end_token_ids(self) -> frozenset[int]:
        """Every token that ends an answer."""
        return self._vocabulary.ends

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """Texts and ids of the control tokens: those content can never become."""
        return self._special.control

    @property
    def strips_space(self) -> bool:
        return self._model.strips_space

    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Ids of `text`; control tokens in it are recognised only if `parse_special`. Adds no BOS."""
        return self.encode_parts([PromptPart(text, trusted=parse_special)], add_bos=False)

    def encode_continuation(self, text: str) -> list[int]:
        """Ids of `text` that follows other text: no blank is put in front, nothing is a control token."""
        ids: list[int] = []
        for piece in self._special.split([PromptPart(text, trusted=False)]):
            ids += [piece] if isinstance(piece, int) else self._model.encode(piece, before="text")
        return ids

    def encode_parts(
        self,
        parts: Sequence[PromptPart],
        *,
        add_bos: bool,
        known: OwnPieces | None = None,
        before: Before = "nothing",
    ) -> list[int]:
        """Ids of a prompt, or of what continues one; BOS goes in front if asked for, known and not there.

        Long pieces that `known` holds are not encoded again. InvalidRequestError if the text is not valid
        Unicode.
        """
        ids: list[int] = []
        for piece in self._special.split(parts):
            if isinstance(piece, int):
                ids.append(piece)
                before = "special"
            else:
                _require_unicode(piece)
                if known is None:
                    ids += self._model.encode(piece, before=before)
                else:
                    ids += known.ids(piece, before=before, encode=self._model.encode)
                before = "text"
        bos = self._vocabulary.bos
        if add_bos and bos is not None and ids[:1] != [bos]:
            ids.insert(0, bos)
        return ids

    def decode(self, ids: Iterable[int], *, skip_special: bool = True) -> str:
        """Text of `ids`, broken UTF-8 as U+FFFD; without control tokens unless `skip_special` is false."""
        strip = self.strips_space
        chunks = []
        for token in ids:
            chunk = self.piece(token, strip=strip, skip_special=skip_special)
            chunks.append(chunk)
            strip = self.strips_after(token, strip=strip)
        return b"".join(chunks).decode("utf-8", errors="replace")

    def piece(self, token: int, *, strip: bool, skip_special: bool = True) -> bytes:
        """The bytes `token` adds to a text; `strip`: one leading space goes (see `strips_after`)."""
        if self.is_control(token):
            return b"" if skip_special else self.token_bytes(token)
        data = self.token_bytes(token)
        return data[1:] if strip and data[:1] == b" " else data

    def strips_after(self, token: int, *, strip: bool) -> bool:
        """Whether the token after `token` loses one leading space: encoding put it there."""
        if not self.strips_space:
            return False
        if token in self._vocabulary.control or token in self._vocabulary.literal:
            return True
        return strip and not self.token_bytes(token)

    def is_control(self, token: int) -> bool:
        return token in self._vocabulary.control

    def token_bytes(self, token: int) -> bytes:
        """The exact bytes `token` stands for; the text of a control token. IndexError out of range."""
        if token < 0:
            raise IndexError(f"token {token} is negative")
        known = self._token_bytes[token]
        if known is None:
            known = self._token_bytes[token] = self._model.token_bytes(token)
        return known

    @cached_property
    def _token_bytes(self) -> list[bytes | None]:
        return [None] * len(self._vocabulary)


def _build_model(metadata: Mapping[str, Any], vocabulary: Vocabulary) -> tuple[TokenModel, bool]:
    """The family's algorithm, and whether its models expect BOS where the file does not say.

    Families are imported when met: a SentencePiece model starts without the `tokenizers` library.
    """
    family = metadata.get(PREFIX + "model")
    space_prefix = bool(metadata.get(PREFIX + "add_space_prefix", True))
    if family == "llama":
        from pennyweight.text.spm import SentencePieceModel

        return SentencePieceModel(vocabulary, space_prefix=space_prefix), True
    if family == "gpt2":
        from pennyweight.text.bpe import ByteLevelModel
        from pennyweight.text.pretokenizers import find_pretokenizer

        rule = find_pretokenizer(metadata.get(PREFIX + "pre"), metadata.get("general.architecture"))
        return ByteLevelModel(vocabulary, merges=metadata.get(PREFIX + "merges", ()), rule=rule), rule.add_bos
    if family == "bert":
        from pennyweight.text.wordpiece import WordPieceModel

        return WordPieceModel(vocabulary, metadata), True
    if family == "huggingface":
        from pennyweight.text.library_bpe import LibraryModel

        return LibraryModel(vocabulary, metadata[PREFIX + "document"]), False
    if family == "tekken":
        from pennyweight.text.ranked_bpe import RankedModel

        return RankedModel(vocabulary, pattern=metadata[PREFIX + "pattern"]), True
    raise ModelFileError(
        f"{PREFIX}model is {family!r}; this version reads gpt2 (byte-level BPE), llama (SentencePiece) and "
        "bert (WordPiece). Choose another model."
    )


def _strip_right(metadata: Mapping[str, Any], vocabulary: Vocabulary) -> frozenset[int]:
    """Phi-3's turn tokens swallow the blanks after them; folders say so, of a GGUF file only its name."""
    if (told := metadata.get(PREFIX + "strip_right")) is not None:
        return frozenset(told)
    name = str(metadata.get("general.name", "")).lower()
    if "phi-3" not in name and "phi3" not in name:
        return frozenset()
    keep = {"<unk>", "<s>", "<|endoftext|>"}
    return frozenset(i for i in vocabulary.control | vocabulary.literal if vocabulary.texts[i] not in keep)


def _require_unicode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequestError(
            f"the text holds a lone surrogate U+{ord(text[error.start]):04X}, which is not a character. "
            "Send valid Unicode."
        ) from error
