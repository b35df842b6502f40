"""A file of lines becomes a batch's input: checked line by line, with an index to find them again.

Memory is one line and a few dozen bytes for each; the file may be larger than memory.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from pennyweight.errors import PennyweightError
from pennyweight.jobs.batch_line import BatchLine, LineError, parse_line
from pennyweight.jobs.json_lines import read_line_at, read_lines
from pennyweight.jobs.line_order import grouped, start_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pennyweight.jobs.json_lines import Line
    from pennyweight.jobs.line_order import StartKey

MAX_ERRORS: Final = 100
"""More are not told: whoever made the file knows by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputLimits:
    """OpenAI's by default: https://platform.openai.com/docs/guides/batch."""

    max_lines: int = 50_000
    max_bytes: int = 200 * 1000 * 1000
    max_line_bytes: int = 32 * 2**20
    max_embedding_inputs: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class InputError:
    """What is wrong with an input; `line` None: with the whole file."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None

    def payload(self) -> dict[str, Any]:
        """OpenAI's `errors.data[]`."""
        return {"code": self.code, "message": self.message, "line": self.line, "param": self.param}


@dataclass(slots=True)
class BatchInput:
    """The checked lines of one file. Index `i` is the i-th line that is not blank."""

    numbers: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("Q"))
    lengths: array[int] = field(default_factory=lambda: array("Q"))
    order: list[int] = field(default_factory=list)  # indices, lines that begin alike side by side
    url: str | None = None
    model: str | None = None  # as the first line calls it
    models: dict[str, str] = field(default_factory=dict)  # all its names, and what they stand for
    ids: set[bytes] = field(default_factory=set)  # digests of the custom ids

    def __len__(self) -> int:
        return len(self.offsets)

    def line(self, file: BinaryIO, index: int) -> BatchLine:
        """Read one line again."""
        assert self.url is not None
        raw = read_line_at(file, offset=self.offsets[index], length=self.lengths[index])
        return parse_line(raw, number=self.numbers[index], urls=(self.url,))


def id_digest(custom_id: str) -> bytes:
    """What `BatchInput.ids` holds."""
    return blake2b(custom_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_input(
    file: BinaryIO,
    *,
    urls: Collection[str],
    check_model: Callable[[str, str], str],
    limits: InputLimits,
) -> tuple[BatchInput, list[InputError]]:
    """Read `file` from where it stands to its end; the input counts only if there are no errors.

    `urls` are the endpoints a line may have, all lines the same. `check_model(url, model)` gives
    what the name stands for, or raises PennyweightError for a model that is not served for this endpoint.
    """
    return _Reader(urls, check_model, limits).read(file)


class _Reader:
    def __init__(
        self, urls: Collection[str], check_model: Callable[[str, str], str], limits: InputLimits
    ) -> None:
        self._urls = urls
        self._check_model = check_model
        self._limits = limits
        self._input = BatchInput()
        self._errors: list[InputError] = []
        self._keys: list[StartKey] = []
        self._num_embedding_inputs = 0

    def read(self, file: BinaryIO) -> tuple[BatchInput, list[InputError]]:
        for line in read_lines(file, max_bytes=self._limits.max_line_bytes):
            if problem := self._beyond(line):
                self._errors.append(problem)
                break
            try:
                self._take(line)
            except LineError as error:
                self._errors.append(
                    InputError(
                        code=error.code or "invalid_line",
                        message=error.message,
                        line=line.number,
                        param=error.param,
                    )
                )
                if len(self._errors) == MAX_ERRORS:
                    break
        if not self._errors and not self._input.offsets:
            self._errors.append(InputError(code="empty_file", message="The file has no lines."))
        self._input.order = grouped(self._keys)
        return self._input, self._errors

    def _beyond(self, line: Line) -> InputError | None:
        limits = self._limits
        if len(self._input) == limits.max_lines:
            message = f"The file has more than {limits.max_lines} lines; split it into several batches."
            return InputError(code="too_many_lines", message=message, line=line.number)
        if line.offset + line.length > limits.max_bytes:
            message = f"The file has more than {limits.max_bytes} bytes; split it into several batches."
            return InputError(code="file_too_large", message=message, line=line.number)
        return None

    def _take(self, line: Line) -> None:
        if line.raw is None:
            message = f"The line is longer than {self._limits.max_line_bytes} bytes."
            raise LineError(message, code="line_too_long")
        taken = self._input
        parsed = parse_line(
            line.raw, number=line.number, urls=self._urls if taken.url is None else (taken.url,)
        )
        self._check_id(parsed)
        self._check_first_or_same_model(parsed)
        self._count_embeddings(parsed)
        taken.url = parsed.url
        taken.numbers.append(line.number)
        taken.offsets.append(line.offset)
        taken.lengths.append(line.length)
        self._keys.append(start_key(parsed.body) if parsed.url != "/v1/embeddings" else b"")

    def _check_id(self, line: BatchLine) -> None:
        digest = id_digest(line.custom_id)
        if digest in self._input.ids:
            message = (
                f"The custom_id '{line.custom_id:.80}' is a duplicate of another line's; "
                "it must be unique in the batch."
            )
            raise LineError(message, code="duplicate_custom_id", param="custom_id")
        self._input.ids.add(digest)

    def _check_first_or_same_model(self, line: BatchLine) -> None:
        taken = self._input
        if line.model in taken.models or line.model == taken.model:
            return
        first, taken.model = taken.model, taken.model or line.model
        try:
            served = self._check_model(line.url, line.model)
        except PennyweightError as error:
            if first is not None:
                raise self._mismatch(line) from error
            raise LineError(error.message, code=error.code or "invalid_model", param="body.model") from error
        if any(other != served for other in taken.models.values()):
            raise self._mismatch(line)
        taken.models[line.model] = served

    def _mismatch(self, line: BatchLine) -> LineError:
        message = (
            f"The model '{line.model:.80}' is not the one of the lines before, '{self._input.model:.80}'; "
            "a batch has one model."
        )
        return LineError(message, code="mismatched_model", param="body.model")

    def _count_embeddings(self, line: BatchLine) -> None:
        if line.url != "/v1/embeddings":
            return
        inputs = line.body.get("input")
        several = isinstance(inputs, list) and inputs and not isinstance(inputs[0], int)
        self._num_embedding_inputs += len(inputs) if several and isinstance(inputs, list) else 1
        most = self._limits.max_embedding_inputs
        if self._num_embedding_inputs > most:
            message = f"The batch has more than {most} embedding inputs; split it into several batches."
            raise LineError(message, code="too_many_embedding_inputs", param="body.input")
