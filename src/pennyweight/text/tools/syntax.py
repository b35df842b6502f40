"""How one dialect writes calls, as data: the grammar and the parser are made from the same description."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSyntax:
    """An answer with calls is `trigger opening call (between call)* closing`, after text if `place` allows.

    A call is `before_name NAME after_name ARGUMENTS after_arguments`. A custom tool whose input has a
    grammar of its own is written raw, `before_name NAME before_raw INPUT`, and ends the answer.
    """

    trigger: str = ""
    """What begins calls in the middle of text; may be a control token."""
    opening: str = ""
    before_name: str = '{"name": "'
    after_name: str = '", "arguments": '
    after_arguments: str = "}"
    before_raw: str = '"}\n'
    between: str = ""
    """Empty where a model makes one call at a time."""
    closing: str = ""
    max_calls: int = 32
    """Calls in one answer: a model that repeats itself ends here."""
    place: Literal["anywhere", "start"] = "anywhere"
    """`start`: a call is the whole answer, and an answer that begins like one is one; there is no trigger."""

    def name_text(self, name: str) -> str:
        """`name` as it stands in the text."""
        return json.dumps(name, ensure_ascii=False)[1:-1]

    def call_text(self, name: str, arguments: str) -> str:
        """One call, as history shows it to the model."""
        return self.before_name + self.name_text(name) + self.after_name + arguments + self.after_arguments
