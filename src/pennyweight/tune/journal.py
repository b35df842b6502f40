"""Steps and checkpoints are told again when training goes on: whoever listened may have died over them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.tune.protocol import Event, Events

_FILE: Final = "told.jsonl"


class Journal:
    """Tells events and keeps them in the work folder; `keeps` False: another process does."""

    def __init__(self, folder: Path, events: Events, *, keeps: bool) -> None:
        self._folder = folder
        self._path = folder / _FILE
        self._events = events
        self._keeps = keeps

    def tell(self, event: Event, **told: Any) -> None:
        if self._keeps:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"event": event, **told}, allow_nan=False) + "\n")
        self._events.tell(event, **told)

    def tell_again(self, *, up_to: int) -> None:
        """What was told of steps up to this one; the others are done again. Checkpoints that are there."""
        if not self._keeps or not self._path.exists():
            return
        kept = [told for told in self._told() if told["step"] <= up_to]
        work = self._path.with_suffix(".new")
        work.write_text("".join(json.dumps(told) + "\n" for told in kept), encoding="utf-8")
        work.replace(self._path)
        for told in kept:
            if "folder" not in told or (self._folder / told["folder"]).is_dir():
                self._events.tell(**told)

    def _told(self) -> Iterator[dict[str, Any]]:
        """Whole lines: the last one may be torn."""
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                return
