"""The prompts of a distillation: read from a file of JSON lines, each once, some held back to compare.

A line is `{"prompt": "text"}` or `{"messages": [...]}` in OpenAI's form, up to the turn to be answered.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pennyweight.errors import ConfigError, InvalidRequestError
from pennyweight.jobs.json_lines import read_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_MAX_LINE_BYTES: Final = 2**20
_FIELDS: Final = ("prompt", "messages")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation that waits for an answer. Equal prompts have equal keys."""

    messages: tuple[Mapping[str, Any], ...]

    @property
    def key(self) -> str:
        text = json.dumps(self.messages, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def share(self) -> float:
        """Where it stands between 0 and 1, by its key: the same in every file."""
        return int(self.key, 16) / 2**64


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """`lessons` are answered by the teacher to learn from, `held_out` to compare with."""

    lessons: tuple[Prompt, ...]
    held_out: tuple[Prompt, ...]
    num_repeated: int = 0

    @property
    def all(self) -> tuple[Prompt, ...]:
        return self.lessons + self.held_out


def read_prompts(path: Path, *, held_out: float) -> Prompts:
    """The prompts of the file; about the share `held_out` of them, by their keys, is not for learning.

    ConfigError names the first line that is none, or says that there are too few.
    """
    found: dict[str, Prompt] = {}
    num_lines = 0
    try:
        with path.open("rb") as file:
            for line in read_lines(file, max_bytes=_MAX_LINE_BYTES):
                prompt = _prompt(line.raw, place=f"{path}, line {line.number}")
                found.setdefault(prompt.key, prompt)
                num_lines += 1
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    return divided(list(found.values()), held_out=held_out, num_repeated=num_lines - len(found))


def divided(prompts: Sequence[Prompt], *, held_out: float, num_repeated: int = 0) -> Prompts:
    """`prompts`, different ones, by their keys."""
    return Prompts(
        lessons=tuple(one for one in prompts if one.share >= held_out),
        held_out=tuple(one for one in prompts if one.share < held_out),
        num_repeated=num_repeated,
    )


def _prompt(raw: bytes | None, *, place: str) -> Prompt:
    from pennyweight.answers.chat_messages import read_messages
    from pennyweight.answers.json_body import read_json_object

    if raw is None:
        raise ConfigError(f"{place} is longer than {_MAX_LINE_BYTES} bytes; shorten it")
    try:
        entry = read_json_object(raw, name="The line")
        if len(given := [name for name in _FIELDS if name in entry]) != 1 or len(entry) != 1:
            raise ConfigError(f"{place} must have either 'prompt' or 'messages' and nothing else")
        value = entry[given[0]]
        if given[0] == "prompt":
            if not isinstance(value, str) or not value.strip():
                raise ConfigError(f"{place}: 'prompt' must be a text that is not empty")
            return Prompt(({"role": "user", "content": value},))
        read_messages(value, ignored=set())
    except InvalidRequestError as error:
        raise ConfigError(f"{place}: {error.message}") from error
    if not isinstance(value, list) or value[-1].get("role") == "assistant":
        raise ConfigError(f"{place}: the last message is an answer already; end with what is to be answered")
    return Prompt(tuple(value))
