"""Headlines: the split, and what counting words learns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from examples.classify.__main__ import main
from examples.classify.headline import Headline, read_headlines, split
from examples.classify.word_counts import WordCounts
from tests.examples.small_data import write_headlines, write_lines

if TYPE_CHECKING:
    from pathlib import Path


def test_no_headline_is_in_two_parts(tmp_path: Path) -> None:
    lines = [{"prompt": f"Q: Gold {i % 20}\nA:", "answer": "up"} for i in range(30)]
    lines.append({"prompt": "Q: GOLD 3\nA:", "answer": "up"})
    headlines = read_headlines(write_lines(tmp_path / "headlines.jsonl", lines))
    assert len(headlines) == 20
    parts = split(headlines, train=8, dev=4, test=8)
    texts = [one.text.casefold() for part in (parts.train, parts.dev, parts.test) for one in part]
    assert len(texts) == len(set(texts)) == 20
    turned = read_headlines(write_lines(tmp_path / "turned.jsonl", lines[::-1]))
    assert [one.share for one in turned] == [one.share for one in headlines]


def test_counting_words_tells_two_words_apart() -> None:
    lessons = [Headline(text=f"gold {word} {i}", label=label) for i in range(5)
               for word, label in (("climbs", "up"), ("falls", "down"))]  # fmt: skip
    counts = WordCounts(lessons)
    assert [counts.label(text) for text in ("silver climbs", "oil falls")] == ["up", "down"]


def test_baselines_are_rows_of_the_results(tmp_path: Path) -> None:
    data, results = write_headlines(tmp_path / "headlines.jsonl", 60), tmp_path / "results.json"
    main(["--results", str(results), "--sizes", "30", "10", "20", "words", str(data)])
    table = json.loads(results.read_text())["test"]
    assert table["naive Bayes"]["accuracy"] == table["naive Bayes"]["macro_f1"] == 1
    assert table["always the commonest"]["accuracy"] < 1
