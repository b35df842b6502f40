"""`penny batch run`: a file of lines answered into another file, without a server and without a database.

Results are kept in OUT.partial as they come; when all are there, OUT and the errors' file appear whole, in
the order of the input. The same command again goes on where the last one ended, whatever ended it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from pennyweight.errors import ConfigError
from pennyweight.jobs.batch_input import InputLimits, id_digest, read_input
from pennyweight.jobs.batch_line import ENDPOINTS
from pennyweight.jobs.batch_places import BatchPlaces
from pennyweight.jobs.journal import Journal
from pennyweight.jobs.json_lines import read_lines
from pennyweight.jobs.line_places import Holder, LinePlaces
from pennyweight.jobs.line_runner import MAX_LINES, Asker, run_lines, window_for
from pennyweight.jobs.lines_under_way import LinesUnderWay
from pennyweight.store.durability import place
from pennyweight.store.failpoints import failpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pennyweight.answers.endpoints import Endpoints
    from pennyweight.answers.principal import Principal
    from pennyweight.jobs.batch_input import BatchInput, InputError
    from pennyweight.jobs.batch_line import BatchLine
    from pennyweight.jobs.line_result import LineResult
    from pennyweight.jobs.lines_under_way import DeadlyLineError

_SYNC_S: Final = 1.0  # what a power cut may undo; a killed process undoes nothing
_UNLIMITED: Final = 2**62
_LIMITS: Final = InputLimits(max_lines=_UNLIMITED, max_bytes=_UNLIMITED, max_embedding_inputs=_UNLIMITED)


class InputRefusedError(ConfigError):
    """The file is no batch; `errors` say which lines are wrong."""

    def __init__(self, path: Path, errors: list[InputError]) -> None:
        first = errors[0]
        place = "" if first.line is None else f"line {first.line}: "
        super().__init__(f"{path} cannot be run: {place}{first.message}")
        self.errors = errors


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineFiles:
    """Where everything is; only `output` and `errors` stay."""

    input: Path
    output: Path

    @property
    def errors(self) -> Path:
        return self.output.with_name(f"{self.output.stem}.errors{self.output.suffix}")

    @property
    def partial(self) -> Path:
        return self.output.with_name(f"{self.output.name}.partial")

    @property
    def under_way(self) -> Path:
        return self.output.with_name(f"{self.output.name}.under-way")

    @property
    def written(self) -> tuple[Path, ...]:
        """What a run makes or removes."""
        return (self.output, self.errors, self.partial, self.under_way)


class OfflineBatch:
    """One input, checked; `run` answers what is left of it. Raises ConfigError, InputRefusedError."""

    def __init__(self, files: OfflineFiles) -> None:
        self.files = files
        with files.input.open("rb") as source:
            self.input, errors = read_input(source, urls=ENDPOINTS, check_model=lambda *_: "", limits=_LIMITS)
        if errors:
            raise InputRefusedError(files.input, errors)

    @property
    def is_complete(self) -> bool:
        """Whether the output is there already. ConfigError if something else has its name."""
        if self.files.partial.exists() or not self.files.output.exists():
            return False
        if self._answered_ids() != self.input.ids:
            raise ConfigError(
                f"{self.files.output} exists and does not hold the answers to {self.files.input}; "
                "remove it, or name another output"
            )
        return True

    def run(self, endpoints: Endpoints, principal: Principal, *, progress: Callable[[int], None]) -> None:
        """Answer what is left, then put the output together. `progress` is told how many lines are done."""
        with (
            self.files.input.open("rb") as source,
            Journal(self.files.partial, digest=_digest(self.files.input)) as journal,
            LinesUnderWay(self.files.under_way) as under_way,
        ):
            places = BatchPlaces(LinePlaces(MAX_LINES), under_way, Holder(principal.project, "offline"))
            ledger = _JournalLedger(self.input, source, journal, places, Asker(principal=principal), progress)
            window = window_for(max(self.input.lengths))
            asyncio.run(run_lines(ledger, endpoints, window=window, place=places.place))
            self._assemble(journal)
        self.files.under_way.unlink()
        failpoint("offline.ended")
        self.files.partial.unlink()

    def counts(self) -> tuple[int, int]:
        """Lines of the output and of the errors' file."""
        return _num_lines(self.files.output), _num_lines(self.files.errors)

    def _assemble(self, journal: Journal) -> None:
        """The errors first: the output is what says that everything is there."""
        numbers = list(self.input.numbers)
        failed = [number for number in numbers if not journal.done[number].succeeded]
        self.files.errors.unlink(missing_ok=True)
        if failed:
            _write(self.files.errors, journal, failed)
            failpoint("offline.failed_lines_placed")
        _write(self.files.output, journal, [n for n in numbers if journal.done[n].succeeded])
        failpoint("offline.placed")

    def _answered_ids(self) -> set[bytes]:
        found = set()
        for path in (self.files.output, self.files.errors):
            if not path.exists():
                continue
            with path.open("rb") as file:
                for line in read_lines(file, max_bytes=_UNLIMITED):
                    try:
                        found.add(id_digest(str(json.loads(line.raw or b"")["custom_id"])))
                    except (ValueError, KeyError, TypeError):
                        return set()
        return found


class _JournalLedger:
    """Lines that have no result yet, in the order that shares most."""

    def __init__(
        self,
        batch: BatchInput,
        source: BinaryIO,
        journal: Journal,
        places: BatchPlaces,
        asker: Asker,
        progress: Callable[[int], None],
    ) -> None:
        self._batch = batch
        self._asker = asker
        self._source = source
        self._journal = journal
        self._progress = progress
        self._places = places
        left = [index for index in batch.order if batch.numbers[index] not in journal.done]
        self._left = iter(places.in_order(left, batch.numbers.__getitem__))
        self._synced_s = time.monotonic()
        progress(len(journal.done))

    async def asker(self) -> Asker:
        return self._asker

    def next_line(self) -> BatchLine | None:
        index = next(self._left, None)
        return None if index is None else self._batch.line(self._source, index)

    def refusal(self, line: BatchLine) -> DeadlyLineError | None:
        return self._places.refusal(line.number)

    async def keep(self, line: BatchLine, result: LineResult) -> None:
        self._journal.add(line.number, result.line(), succeeded=result.succeeded)
        self._progress(len(self._journal.done))
        if time.monotonic() - self._synced_s > _SYNC_S:
            self._synced_s = time.monotonic()
            await asyncio.to_thread(self._journal.sync)


def _write(path: Path, journal: Journal, numbers: list[int]) -> None:
    """`path` appears whole and durable, or not at all."""
    temporary = path.with_name(f"{path.name}.new")
    try:
        with temporary.open("wb") as file:
            for number in numbers:
                file.write(journal.line(number))
            file.flush()
            os.fsync(file.fileno())
    except OSError:  # a full disk is not to be kept full
        temporary.unlink(missing_ok=True)
        raise
    place(temporary, path.absolute())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _num_lines(path: Path) -> int:
    if not path.exists():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)
