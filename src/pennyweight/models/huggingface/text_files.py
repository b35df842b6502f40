"""What stands beside the weights about text: tokenizer, special tokens, chat template, advice on sampling.

The files are read here and understood in `text`. Keys are GGUF's where it has one; the others begin with
`tokenizer.huggingface.`: `json`, `sentencepiece`, `tekken` (bytes of whichever file there is), `config`
(tokenizer_config.json), `special_tokens` (texts by role) and `end_ids`.
"""

from __future__ import annotations

import hashlib
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ModelFileError
from pennyweight.models.json_file import parse_json, read_small_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PREFIX: Final = "tokenizer.huggingface."
_VOCABULARIES: Final = (
    ("tokenizer.json", "json"),
    ("tekken.json", "tekken"),
    *((name, "sentencepiece") for name in ("tokenizer.model.v7", "tokenizer.model.v3", "tokenizer.model")),
)
_ROLES: Final = ("bos_token", "eos_token", "unk_token", "pad_token")
_ADVICE: Final = (  # generation_config.json's name, GGUF's
    ("temperature", "temp"),
    ("top_k", "top_k"),
    ("top_p", "top_p"),
    ("min_p", "min_p"),
    ("repetition_penalty", "penalty_repeat"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFiles:
    """`digest` is the SHA-256 of everything that was read."""

    metadata: Mapping[str, Any]
    digest: bytes


def read_text_files(folder: Path, config: Mapping[str, Any]) -> TextFiles:
    """All that `folder` has of them; `config` is its config.json. Raises ModelFileError."""
    reader = _Reader(folder)
    settings = reader.object("tokenizer_config.json")
    generation = reader.object("generation_config.json")
    metadata: dict[str, Any] = {
        f"{PREFIX}config": {key: value for key, value in settings.items() if key != "chat_template"},
        f"{PREFIX}special_tokens": _special_tokens(reader.object("special_tokens_map.json") | settings),
        f"{PREFIX}end_ids": _end_ids(config, generation),
        **_sampling(generation),
    }
    if (name := reader.first(name for name, _ in _VOCABULARIES)) is None:
        raise ModelFileError(f"there is no vocabulary: none of {', '.join(n for n, _ in _VOCABULARIES)}")
    metadata[PREFIX + dict(_VOCABULARIES)[name]] = reader.bytes(name)
    template = _template(reader, settings)
    if template is not None:
        metadata["tokenizer.chat_template"] = template
    return TextFiles(metadata=metadata, digest=reader.digest())


class _Reader:
    """Reads files that may be missing, and hashes what it reads."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hash = hashlib.sha256()

    def digest(self) -> bytes:
        return self._hash.digest()

    def first(self, names: Any) -> str | None:
        return next((name for name in names if (self._folder / name).is_file()), None)

    def bytes(self, name: str) -> bytes:
        data = read_small_file(self._folder / name)
        self._hash.update(f"{name}\0{len(data)}\0".encode() + data)
        return data

    def text(self, name: str) -> str:
        try:
            return self.bytes(name).decode()
        except UnicodeDecodeError as error:
            raise ModelFileError(f"{name} is not UTF-8 (byte {error.start} is wrong)") from error

    def object(self, name: str) -> dict[str, Any]:
        """The object in a JSON file, empty without one."""
        if self.first([name]) is None:
            return {}
        value = parse_json(self.bytes(name), self._folder / name)
        if not isinstance(value, dict):
            raise ModelFileError(f"{name} is not a JSON object")
        return value


def _special_tokens(named: Mapping[str, Any]) -> dict[str, str]:
    """Texts by role; a token may be an object whose `content` is the text."""
    found = {}
    for role in _ROLES:
        value = named.get(role)
        text = value.get("content") if isinstance(value, dict) else value
        if text is not None and not isinstance(text, str):
            raise ModelFileError(f"tokenizer_config.json: {role} is {reprlib.repr(value)}; expected a text")
        if text is not None:
            found[role] = text
    return found


def _end_ids(config: Mapping[str, Any], generation: Mapping[str, Any]) -> list[int]:
    """Every `eos_token_id` of both files, one id or a list."""
    found: list[int] = []
    text = config.get("text_config")
    files = [("generation_config.json", generation), ("config.json", config)]
    for name, values in (*files, ("config.json", text if isinstance(text, dict) else {})):
        value = values.get("eos_token_id")
        ids = value if isinstance(value, list) else [] if value is None else [value]
        for token in ids:
            if type(token) is not int or token < 0:
                raise ModelFileError(f"{name}: eos_token_id is {reprlib.repr(value)}; expected ids of tokens")
            found.append(token)
    return sorted(set(found))


def _sampling(generation: Mapping[str, Any]) -> dict[str, Any]:
    """GGUF's `general.sampling.*`."""
    if generation.get("do_sample") is False:
        return {"general.sampling.temp": 0.0}
    found: dict[str, Any] = {}
    for key, name in _ADVICE:
        value = generation.get(key)
        if value is None:
            continue
        if type(value) not in (int, float):
            raise ModelFileError(f"generation_config.json: {key} is {reprlib.repr(value)}; expected a number")
        found[f"general.sampling.{name}"] = value
    return found


def _template(reader: _Reader, settings: Mapping[str, Any]) -> str | None:
    """From a file of its own, else from the settings, where a list has named ones."""
    if reader.first(["chat_template.jinja"]) is not None:
        return reader.text("chat_template.jinja")
    value = reader.object("chat_template.json").get("chat_template", settings.get("chat_template"))
    if isinstance(value, list):
        named = {t.get("name"): t.get("template") for t in value if isinstance(t, dict)}
        if "default" not in named:
            raise ModelFileError("tokenizer_config.json: none of its chat templates is called 'default'")
        value = named["default"]
    if value is not None and not isinstance(value, str):
        raise ModelFileError(
            f"tokenizer_config.json: chat_template is {reprlib.repr(value)}; expected a text"
        )
    return value
