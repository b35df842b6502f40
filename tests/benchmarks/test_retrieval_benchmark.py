"""The section on vector stores says what was recorded; nDCG is the field's."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import retrieval_table
from benchmarks.retrieval import ndcg


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
