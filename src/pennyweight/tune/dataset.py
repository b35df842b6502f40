"""Training files: JSON Lines become checked examples, or a list of what is wrong with them, by line.

Every line is read before anything is said, so that one run tells all errors (the first hundred of them).
Duplicates are counted, never dropped.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeVar

from pennyweight.errors import InvalidRequestError
from pennyweight.tune.example import (
    MOST_TOLD,
    DatasetError,
    Example,
    LineError,
    Preference,
    RewardedPrompt,
)
from pennyweight.tune.example_line import read_example, read_preference, read_rewarded_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

MIN_EXAMPLES: Final = 10
MAX_LINE_BYTES: Final = 8 * 2**20
FileParam = Literal["training_file", "validation_file"]
_BOM: Final = b"\xef\xbb\xbf"
_Item = TypeVar("_Item", Example, Preference, RewardedPrompt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset(Generic[_Item]):
    """The examples of a file in its order. `ignored` are keys that nobody reads."""

    examples: tuple[_Item, ...]
    num_duplicates: int
    sha256: str
    ignored: frozenset[str] = field(default_factory=frozenset)

    def warnings(self, param: FileParam) -> list[str]:
        """What is odd about the file, though it can be trained on."""
        told = []
        if self.num_duplicates:
            told.append(f"{param}: {self.num_duplicates} lines repeat earlier ones; they count twice.")
        if self.ignored:
            told.append(f"{param}: not read: {', '.join(sorted(self.ignored))}.")
        return told


def read_supervised(path: Path, *, param: FileParam = "training_file") -> Dataset[Example]:
    """Lines of `{"messages": [...]}`. DatasetError tells everything that is wrong."""
    return _read(path, param, read_example)


def read_preferences(path: Path, *, param: FileParam = "training_file") -> Dataset[Preference]:
    """Lines of an `input`, a `preferred_output` and a `non_preferred_output`. Raises DatasetError."""
    return _read(path, param, read_preference)


def read_rewarded_prompts(path: Path, *, param: FileParam = "training_file") -> Dataset[RewardedPrompt]:
    """Lines of `messages` to be answered, and whatever their judge needs. Raises DatasetError."""
    return _read(path, param, read_rewarded_prompt)


def _read(
    path: Path, param: FileParam, read_line: Callable[[dict[str, object], int, set[str]], _Item]
) -> Dataset[_Item]:
    examples: list[_Item] = []
    errors = _Errors(param)
    seen: set[bytes] = set()
    ignored: set[str] = set()
    digest = hashlib.sha256()
    num_duplicates = 0
    with _opened(path, param) as file:
        for number, raw in _lines(file, digest.update):
            try:
                examples.append(read_line(_object(raw), number, ignored))
            except InvalidRequestError as error:
                errors.add(error, number)
                continue
            identity = hashlib.blake2b(raw, digest_size=16).digest()
            num_duplicates += identity in seen
            seen.add(identity)
    errors.require_enough(len(examples), MIN_EXAMPLES if param == "training_file" else 1)
    errors.raise_if_any()
    return Dataset(
        examples=tuple(examples),
        num_duplicates=num_duplicates,
        sha256=digest.hexdigest(),
        ignored=frozenset(ignored),
    )


class _Errors:
    """Errors of one file; so many are told, all are counted."""

    def __init__(self, param: FileParam) -> None:
        self._param = param
        self._told: list[LineError] = []
        self._count = 0

    def add(self, error: InvalidRequestError, line: int | None) -> None:
        self._count += 1
        if len(self._told) < MOST_TOLD:
            code = error.code or "invalid_value"
            self._told.append(LineError(code=code, message=error.message, param=self._param, line=line))

    def require_enough(self, num_examples: int, least: int) -> None:
        """A file of errors alone is told its errors, not that it is too short."""
        if num_examples + self._count < least:
            have = "is empty" if num_examples + self._count == 0 else f"has {num_examples} examples"
            self.add(InvalidRequestError(f"the file {have}; it needs at least {least}."), None)

    def raise_if_any(self) -> None:
        if self._told:
            raise DatasetError(self._told, self._count)


def _opened(path: Path, param: FileParam) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise DatasetError(
            [LineError(code="file_unreadable", message=f"{path.name}: {error.strerror}", param=param)]
        ) from error


def _lines(file: BinaryIO, told: Callable[[bytes], object]) -> Iterator[tuple[int, bytes]]:
    """Number (from 1) and content of every line that is not blank; `told` gets all bytes."""
    number = 0
    while raw := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        told(raw)
        content = (raw.removeprefix(_BOM) if number == 1 else raw).strip(b" \t\r\n")
        while not raw.endswith(b"\n") and (raw := file.readline(MAX_LINE_BYTES)):
            told(raw)
        if content:
            yield number, content


def _object(raw: bytes) -> dict[str, object]:
    if len(raw) > MAX_LINE_BYTES:
        raise _bad(f"the line has more than {MAX_LINE_BYTES} bytes.", "line_too_long")
    try:
        value = json.loads(raw)
    except UnicodeDecodeError as error:
        raise _bad(f"the line is not UTF-8 at byte {error.start}.", "invalid_json") from error
    except (ValueError, RecursionError) as error:
        raise _bad(f"the line is not JSON: {error}", "invalid_json") from error
    if not isinstance(value, dict):
        raise _bad("the line is no JSON object.", "invalid_json")
    return value


def _bad(message: str, code: str) -> InvalidRequestError:
    error = InvalidRequestError(message)
    error.code = code
    return error
