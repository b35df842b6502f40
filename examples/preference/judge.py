"""Which of two answers is preferred: a program decides, so everybody gets the same figures.

An answer is fit if it ended by itself, is one paragraph without a list or a heading, has at least five words
and shares a content word with the prompt, so that silence and chatter about something else never win. A fit
answer beats one that is not; of two fit ones the shorter wins if it is shorter by a tenth; all else is a tie.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from examples.service import Answer

Verdict = Literal["first", "second", "tie"]
_FEWEST_WORDS: Final = 5
_CLEARLY: Final = 0.9  # of the other's words
_CONTENT: Final = 4  # letters of a word that says what a text is about
_LIST: Final = re.compile(r"^\s*(?:[-*•#>]|\d+[.)])\s*|\*\*", re.MULTILINE)


def is_fit(answer: Answer, prompt: str) -> bool:
    """Whether it has the form that is wanted and is about the prompt."""
    text = answer.text.strip()
    plain = "\n" not in text and not _LIST.search(text)
    words = _words(text)
    about = {word for word in words if len(word) >= _CONTENT} & set(_words(prompt))
    return answer.finish_reason == "stop" and plain and len(words) >= _FEWEST_WORDS and bool(about)


def prefer(first: Answer, second: Answer, prompt: str) -> Verdict:
    """The answer that is preferred to the other."""
    fit = is_fit(first, prompt), is_fit(second, prompt)
    if fit == (True, True):
        lengths = num_words(first), num_words(second)
        if lengths[0] < _CLEARLY * lengths[1]:
            return "first"
        return "second" if lengths[1] < _CLEARLY * lengths[0] else "tie"
    if fit == (False, False):
        return "tie"
    return "first" if fit[0] else "second"


def num_words(answer: Answer) -> int:
    """Of the answer's text."""
    return len(_words(answer.text))


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
