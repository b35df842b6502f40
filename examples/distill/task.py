"""A task that a program can check: a sentence of a given length that contains two given words.

Prompts are made here, with a seed, from words; words of the test prompts occur in no training prompt.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Final

_WORDS: Final = {
    "train": (
        "river lamp window bread garden music winter doctor train letter bridge coffee market forest silver "
        "island teacher engine candle mirror summer castle blanket pencil harbour kitchen thunder ladder "
        "basket orange tunnel whisper feather copper village ticket"
    ),
    "test": (
        "mountain clock door butter flower guitar autumn nurse boat parcel tower honey station meadow golden "
        "valley student rocket lantern picture spring palace pillow brush ocean cellar rainbow fence bottle "
        "lemon stairs shadow button iron city wallet"
    ),
}
_FEWEST: Final = 4  # words; less is no sentence
_MOST: Final = (12, 14, 16, 18)
_PROMPT: Final = re.compile(
    r'Write a sentence of at most (\d+) words that contains the words "(\w+)" and "(\w+)"\.'
)
_SENTENCE: Final = re.compile(r"[A-Z\"'][^.!?\n]*[.!?][\"']?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Two words to be used, and the most words of the sentence."""

    words: tuple[str, str]
    most: int

    @property
    def prompt(self) -> str:
        one, other = self.words
        return f'Write a sentence of at most {self.most} words that contains the words "{one}" and "{other}".'

    @classmethod
    def of(cls, prompt: str) -> Task:
        """The task that a prompt asks for."""
        found = _PROMPT.fullmatch(prompt)
        if found is None:
            raise ValueError(f"{prompt!r} is no prompt of this task")
        return cls(words=(found[2], found[3]), most=int(found[1]))

    def check(self, answer: str) -> bool:
        """Whether the answer is such a sentence and nothing else."""
        text = answer.strip()
        words = re.findall(r"[\w'-]+", text.casefold())
        used = all(any(word.startswith(one) for word in words) for one in self.words)
        return bool(_SENTENCE.fullmatch(text)) and used and _FEWEST <= len(words) <= self.most


def tasks(part: str, count: int, *, seed: int) -> list[Task]:
    """So many different tasks; `part` is train or test."""
    chance = random.Random(f"{part} {seed}")
    words = _WORDS[part].split()
    made: dict[Task, None] = {}
    while len(made) < count:
        one, other = chance.sample(words, 2)
        made[Task(words=(one, other), most=chance.choice(_MOST))] = None
    return list(made)
