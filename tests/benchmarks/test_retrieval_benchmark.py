"""The section on vector stores says what was recorded; nDCG is the field's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks import retrieval_table
from benchmarks.retrieval import ndcg
from benchmarks.retrieval_weights import Scored, judged


def report(hybrid: float) -> dict[str, Any]:
    score = {"words": 0.9, "meaning": 0.8, "hybrid": hybrid}
    cited = [{"share": 0.7, "supported_cited": 0.5, "cited_wrongly": 0.01}]
    languages = {
        "en": {"questions": 1190, "ndcg": score, "cited": cited},
        "th": {"questions": 400, "ndcg": score},
    }
    return {"languages": languages, "encoder": "e"}


def test_a_row_for_each_language_and_a_verdict() -> None:
    lines = retrieval_table.section(report(0.95))
    assert "| en | 1,190 | 0.900 | 0.800 | 0.950 |" in lines
    assert "| 0.7 | 50.0% | 1.0% |" in lines
    assert any(line.endswith(": met.") for line in lines)
    lost = retrieval_table.section(report(0.89))
    assert any(line.endswith(": missed in en, th.") for line in lost)


def test_ndcg_of_one_relevant_paragraph() -> None:
    assert ndcg([7, 3], 7) == 1.0
    assert ndcg([7, 3], 3) == pytest.approx(0.6309, abs=1e-4)
    assert ndcg([7, 3], 1) == 0.0


def scored(*questions: tuple[float, list[float], list[float]]) -> Scored:
    """Questions about paragraphs 0 and 2, with their familiarity and the scores by words and by meaning."""
    familiarity, words, meaning = zip(*questions, strict=True)
    wanted = np.array([0, 2] * (len(questions) // 2))
    return Scored(
        wanted=wanted, familiarity=np.array(familiarity), words=np.array(words), meaning=np.array(meaning)
    )


def test_a_weight_that_loses_in_any_half_of_any_language_is_not_chosen() -> None:
    helped = (1.0, [0.4, 0.5, 0.4], [1.0, 0.0, 1.0])
    harmed = (0.2, [0.5, 0.45, 0.5], [0.0, 1.0, 0.0])
    report = judged({"known": scored(helped, helped), "unknown": scored(harmed, harmed)})
    assert report["chosen"]["least"] > 0.2
    assert report["chosen"]["loses"] == []
    (careless,) = [pair for pair in report["pairs"] if (pair["weight"], pair["least"]) == (0.6, 0.0)]
    assert careless["loses"] == ["unknown 0", "unknown 1"]


def test_ndcg_of_scores_is_that_of_their_order() -> None:
    one = scored((0.0, [0.4, 0.5, 0.4], [0.0] * 3), (0.0, [0.4, 0.5, 0.4], [0.0] * 3))
    assert one.ndcg_of(one.words) == pytest.approx((ndcg([1, 0, 2], 0) + ndcg([1, 0, 2], 2)) / 2)
    assert one.ndcg_of(one.meaning) == 0.0, "nothing speaks for them"
