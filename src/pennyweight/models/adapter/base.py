"""Whether an adapter was trained on the model it is used with: trainers here say so in the weights' header.

Another file of the same model, in other bits for example, takes the adapter and answers a little differently;
another model of the same shape takes it as well, and answers nonsense. So whoever serves it is told.
"""

from __future__ import annotations

import logging
import reprlib
import threading
from typing import TYPE_CHECKING, Final

from pennyweight.models.safetensors import SafetensorsFile

if TYPE_CHECKING:
    from pennyweight.models.adapter.files import AdapterFiles

BASE: Final = "pennyweight_base"
BASE_HASH: Final = "pennyweight_base_hash"
_SHOWN: Final = 12  # characters of a hash

_log = logging.getLogger(__name__)


class BaseCheck:
    """Compares adapters with the model of that name and content hash, and warns of each once."""

    def __init__(self, *, name: str, content_hash: str) -> None:
        self._name = name
        self._content_hash = content_hash
        self._lock = threading.Lock()
        self._told: set[tuple[str, str]] = set()

    def look_at(self, files: AdapterFiles) -> None:
        """Log a warning if it was trained on something else. Raises ModelFileError for no such file."""
        with SafetensorsFile.open(files.weights) as file:
            trained_on, name = file.metadata.get(BASE_HASH), file.metadata.get(BASE, "another model")
        if trained_on is None or trained_on == self._content_hash:
            return
        with self._lock:
            if (files.name, trained_on) in self._told:
                return
            self._told.add((files.name, trained_on))
        _log.warning(
            "the adapter %s was trained on %s with the content %.*s, and is used with %s, whose content is "
            "%.*s: its answers can differ from what it learnt; serve the file it was trained on, or train it "
            "again on this one",
            files.name,
            reprlib.repr(name),
            _SHOWN,
            trained_on,
            self._name,
            _SHOWN,
            self._content_hash,
        )
