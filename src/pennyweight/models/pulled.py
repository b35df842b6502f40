"""What is known of a model that was pulled: where it came from, at which commit, and the bytes it had then.

One small JSON file per model, in a hidden folder beside the models. A model without one (copied there by
hand, or of the catalog, which has all this) works just as well.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.models.cache import models_folder, place

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = ".pulled"


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledFile:
    """`path` is relative to the folder of models."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """`asked` is the address as a person wrote it, `source` the same pinned to what it meant then.

    `key` stands for the version of the bytes where the source gives no digests.
    """

    name: str
    asked: str
    source: str
    key: str
    files: tuple[PulledFile, ...]
    commit: str = ""
    licence: str = ""


def read_pulled(name: str) -> Pulled | None:
    """What is known of the model `name`; None if nothing is, or nothing that can be read."""
    try:
        values: Any = json.loads(_path(name).read_bytes())
        return Pulled(**{**values, "files": tuple(PulledFile(**file) for file in values["files"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def pulled_from(asked: str) -> Pulled | None:
    """The model that this address was pulled to."""
    names = [path.stem for path in sorted((models_folder() / _FOLDER).glob("*.json"))]
    records = [record for record in map(read_pulled, names) if record is not None]
    return next((record for record in records if record.asked == asked), None)


def write_pulled(pulled: Pulled, *, work: Path) -> None:
    """Keep it, whole or not at all; `work` is a folder on the same disk."""
    draft = work / "pulled.json"
    with draft.open("wb") as file:
        file.write(json.dumps(asdict(pulled), indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    _path(pulled.name).parent.mkdir(exist_ok=True)
    place(draft, _path(pulled.name))


def forget_pulled(name: str) -> None:
    """Remove it; harmless if there is none."""
    _path(name).unlink(missing_ok=True)


def _path(name: str) -> Path:
    return models_folder() / _FOLDER / f"{name}.json"
