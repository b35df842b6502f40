"""What one line of a training file says, and what is wrong with a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pennyweight.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pennyweight.answers.conversation import Conversation, Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A conversation that ends with an answer; `trained` are the answers to learn, by their index."""

    line: int
    conversation: Conversation
    trained: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """A conversation to be answered, an answer that is liked and one that is not."""

    line: int
    conversation: Conversation
    preferred: Message
    rejected: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardedPrompt:
    """A conversation to be answered; `told` is the whole line, which whoever judges the answers gets."""

    line: int
    conversation: Conversation
    told: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineError:
    """What is wrong with one line (from 1) of a file, None: with the file. `param` names the file's field."""

    code: str
    message: str
    param: str
    line: int | None = None

    def as_json(self) -> dict[str, str | int | None]:
        """As events and the API tell it."""
        return {"code": self.code, "message": self.message, "param": self.param, "line": self.line}


MOST_TOLD = 100


class DatasetError(InvalidRequestError):
    """A file that cannot be trained on. `errors` are the first of its `num_errors` errors."""

    code = "invalid_training_file"

    def __init__(self, errors: list[LineError], num_errors: int | None = None) -> None:
        self.errors = errors[:MOST_TOLD]
        self.num_errors = len(errors) if num_errors is None else num_errors
        first = self.errors[0]
        place = "" if first.line is None else f"line {first.line}: "
        more = f" ({self.num_errors - 1} more errors)" if self.num_errors > 1 else ""
        super().__init__(f"{place}{first.message}{more}", param=first.param)
