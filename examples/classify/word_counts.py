"""Naive Bayes over words: what counting alone learns from the same lines, in a second.

Multinomial with add-one smoothing (Manning, Raghavan, Schuetze, "Introduction to Information Retrieval", 13).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING

from examples.classify.headline import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.classify.headline import Headline


class WordCounts:
    """Learnt from labelled headlines; `label` of another one."""

    def __init__(self, lessons: Sequence[Headline]) -> None:
        self._counts = {label: Counter[str]() for label in LABELS}
        self._lessons = Counter(lesson.label for lesson in lessons)
        for lesson in lessons:
            self._counts[lesson.label].update(_words(lesson.text))
        self._vocabulary = set[str]().union(*self._counts.values())

    def label(self, text: str) -> str:
        """The likelier label."""
        words = [word for word in _words(text) if word in self._vocabulary]
        return max(LABELS, key=lambda label: self._log_probability(words, label))

    def _log_probability(self, words: Sequence[str], label: str) -> float:
        counts = self._counts[label]
        total = counts.total() + len(self._vocabulary)
        prior = math.log((self._lessons[label] + 1) / (self._lessons.total() + len(LABELS)))
        return prior + sum(math.log((counts[word] + 1) / total) for word in words)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z]+|\d", text.casefold())
