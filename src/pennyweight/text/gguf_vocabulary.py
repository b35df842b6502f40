"""The vocabulary of a folder as GGUF files have it, so that every reader of such files gives the same tokens.

GGUF knows two kinds here: byte-level BPE (`gpt2`: merges, and a name for the way words are cut) and
SentencePiece (`llama`: scores). A `tokenizer.json` of either kind, Tekken's ranks and a `tokenizer.model`
become one of them (a Metaspace puts no space in front of a blank, GGUF's kind always one); what has no name
in GGUF is refused. Two keys of our own tell what GGUF cannot: all ends (`end_token_ids`), and tokens that
swallow blanks (`strip_left`, `strip_right`).
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.text.folder_vocabulary import with_vocabulary
from pennyweight.text.pretokenizers import name_of
from pennyweight.text.vocabulary import PREFIX, TokenType, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_SPACE: Final = "▁"
_DIGIT: Final = r"\p{N}"


def gguf_vocabulary(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """All `tokenizer.ggml.*` for the metadata of a folder. Raises ModelFileError."""
    metadata = with_vocabulary(metadata)
    told = {key.removeprefix(PREFIX): value for key, value in metadata.items() if key.startswith(PREFIX)}
    family = told.get("model")
    if family == "tekken":
        own = _ranked(told)
    elif family == "huggingface":
        own = _described(told, Vocabulary.from_metadata(metadata))
    elif family == "llama":
        own = _pieces(told, told["scores"], space_prefix=told["add_space_prefix"])
    else:
        raise ModelFileError("the folder has no vocabulary that GGUF files can hold")
    shared = {
        key: value for key, value in told.items() if key.endswith("_token_id") or key == "add_bos_token"
    }
    own |= {"tokens": told["tokens"], **shared, **_ends(metadata, told)}
    for key in ("strip_left", "strip_right", "end_token_ids"):
        if told.get(key):
            own[key] = array("i", told[key])
    own["token_type"] = array("i", own.get("token_type", told["token_type"]))
    return {PREFIX + key: value for key, value in own.items()}


def _ends(metadata: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, int]:
    """Roles for ends that neither their role nor their text would tell a reader that knows no list."""
    plain = {key: value for key, value in metadata.items() if key != f"{PREFIX}end_token_ids"}
    known = Vocabulary.from_metadata(plain).ends
    unknown = [token for token in told["end_token_ids"] if token not in known]
    free = [role for role in ("eos", "eot", "eom") if f"{role}_token_id" not in told]
    return {f"{role}_token_id": token for role, token in zip(free, unknown, strict=False)}


# --- byte-level BPE -----------------------------------------------------------------------------------------
def _ranked(told: Mapping[str, Any]) -> dict[str, Any]:
    """Tekken: the merges that its ranks stand for."""
    control = {token for token, kind in enumerate(told["token_type"]) if kind != TokenType.NORMAL}
    ranks = {text: token for token, text in enumerate(told["tokens"]) if token not in control}
    merges = [" ".join(pair) for text in ranks if len(text) > 1 and (pair := _halves(text, ranks))]
    return _bpe(merges, name_of((told["pattern"],), nfc=False, whole_words=True), "tekken.json")


def _halves(text: str, ranks: Mapping[str, int]) -> list[str]:
    """The two tokens of lower rank that become `text`; none if it cannot be reached."""
    parts, limit = list(text), ranks[text]
    while len(parts) > 2:
        best, at = limit, -1
        for index in range(len(parts) - 1):
            rank = ranks.get(parts[index] + parts[index + 1], limit)
            if rank < best:
                best, at = rank, index
        if at < 0:
            return []
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


def _described(told: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """`tokenizer.json`, of whichever kind it is."""
    document = told["document"]
    model = document["model"]
    merges = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    if model.get("byte_fallback"):
        scores = _scores(told["tokens"], merges)
        return _pieces(told, scores, space_prefix=_has_prefix(document))
    patterns = _patterns(document.get("pre_tokenizer"))
    nfc = (document.get("normalizer") or {}).get("type") == "NFC"
    if patterns is None or (document.get("normalizer") and not nfc):
        raise _unnamed("tokenizer.json")
    name = name_of(patterns, nfc=nfc, whole_words=bool(model.get("ignore_merges")))
    control = {vocabulary.texts[token] for token in vocabulary.control}
    # no text may merge into a control token, nor through one
    kept = [pair for pair in merges if control.isdisjoint((*pair, "".join(pair)))]
    return _bpe([" ".join(pair) for pair in kept], name, "tokenizer.json")


def _bpe(merges: list[str], name: str | None, file: str) -> dict[str, Any]:
    if name is None:
        raise _unnamed(file)
    return {"model": "gpt2", "pre": name, "merges": merges}


def _unnamed(file: str) -> ModelFileError:
    return ModelFileError(
        f"{file} cuts words in a way that has no name in GGUF files; convert the folder with llama.cpp's "
        "convert_hf_to_gguf.py, or run it as it is with --type"
    )


def _patterns(step: Any) -> tuple[str, ...] | None:
    """What cuts words, one after the other; None if a step is of another kind."""
    found: list[str] = []
    for one in _steps(step):
        kind = one.get("type")
        if kind == "Split" and "Regex" in one.get("pattern", {}):
            found.append(one["pattern"]["Regex"])
        elif kind == "Digits" and one.get("individual_digits"):
            found.append(_DIGIT)
        elif kind == "ByteLevel" and not one.get("add_prefix_space"):
            found += [_OF_GPT2] if one.get("use_regex", True) else []
        else:
            return None
    return tuple(found)


_OF_GPT2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What the library's step ByteLevel cuts by."""


def _steps(step: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(step, dict):
        return
    inner = step.get("pretokenizers") or step.get("normalizers")
    if inner is None:
        yield step
    for one in inner or ():
        yield from _steps(one)


# --- SentencePiece ------------------------------------------------------------------------------------------
def _pieces(told: Mapping[str, Any], scores: Sequence[float], *, space_prefix: bool) -> dict[str, Any]:
    types = list(told["token_type"])
    unknown = told.get("unknown_token_id")
    if unknown is not None:
        types[unknown] = TokenType.UNKNOWN
    return {
        "model": "llama",
        "pre": "default",
        "scores": array("f", scores),
        "token_type": types,
        "add_space_prefix": space_prefix,
    }


def _scores(tokens: Sequence[str], merges: Sequence[Sequence[str]]) -> list[float]:
    """The earlier a merge, the higher the score of what it makes."""
    first: dict[str, float] = {}
    for left, right in merges:
        first.setdefault(left + right, -1.0 - len(first))
    lowest = -1.0 - len(first)
    return [first.get(text, lowest) for text in tokens]


def _has_prefix(document: Mapping[str, Any]) -> bool:
    """Whether a space is put in front of a text; ModelFileError for steps that GGUF's kind does not have."""
    found = False
    for step in (*_steps(document.get("normalizer")), *_steps(document.get("pre_tokenizer"))):
        kind = step.get("type")
        if kind == "Prepend" and step.get("prepend") == _SPACE:
            found = True
        elif kind == "Metaspace":
            always = step.get("add_prefix_space") is not False
            found = found or (always and step.get("prepend_scheme", "always") != "never")
        elif step.get("pattern") != {"String": " "}:
            raise _unnamed("tokenizer.json")
    return found
