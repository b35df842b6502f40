"""Further names of models that no file can have: those of fine-tuned models, old and new.

Programs have names such as `ft:gpt-4o-mini-2024-07-18:acme::x1` written into them. What such a name stands
for here is kept beside the installed models, and read when a server starts.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

from pennyweight.errors import ConfigError
from pennyweight.models.cache import models_folder, place, work_folder

if TYPE_CHECKING:
    from pathlib import Path

TUNED_PREFIX: Final = "ft:"
_FILE: Final = "aliases.json"


def is_kept_here(name: str, model: str) -> bool:
    """Whether an alias is one of these: either name is that of a fine-tuned model."""
    return name.startswith(TUNED_PREFIX) or model.startswith(TUNED_PREFIX)


def kept_aliases() -> dict[str, str]:
    """What the names stand for. Raises ConfigError for a file that somebody else has written."""
    path = _path()
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {error}; remove it, and give the aliases again") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise ConfigError(f"{path} holds no table of names; remove it, and give the aliases again")
    return found


def keep_alias(name: str, model: str) -> None:
    """From the next start of a server on, `name` stands for `model`. Raises ConfigError."""
    if not name.isprintable() or not name or name == model:
        raise ConfigError(f"{name!r} cannot be another name of {model}; choose another one")
    _write({**kept_aliases(), name: model})


def forget_alias(name: str) -> bool:
    """Whether `name` was one; it stands for nothing any more."""
    aliases = kept_aliases()
    if aliases.pop(name, None) is None:
        return False
    _write(aliases)
    return True


def _path() -> Path:
    return models_folder() / _FILE


def _write(aliases: dict[str, str]) -> None:
    folder = models_folder()
    try:
        with work_folder(folder) as work:
            made = work / _FILE
            with made.open("w", encoding="utf-8") as file:
                json.dump(aliases, file, ensure_ascii=False, indent=1)
                file.flush()
                os.fsync(file.fileno())
            place(made, folder / _FILE)
    except OSError as error:
        raise ConfigError(f"the alias cannot be kept in {folder}: {error.strerror or error}") from error
