"""How much meaning counts beside words: chosen on the questions of XQuAD that `retrieval` tells nothing of.

For each weight, and each least familiarity below which words alone count: nDCG@10 of every language. Pairs
that lose to words or to meaning in any language, in either of two halves of these questions, are out; of the
others the best on average is chosen. `retrieval/ranking.py` has the numbers.

    python -m benchmarks.retrieval_weights
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from benchmarks.retrieval import DEPTH, LANGUAGES, Collection, data, queries
from pennyweight.encoder import EncoderSlot
from pennyweight.retrieval.encoding import ChunkEncoder
from pennyweight.retrieval.ranking import Mix

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.retrieval.ranking import Query, Ranking

RESULTS: Final = Path(__file__).parent / "results" / "retrieval_weights.json"
WEIGHTS: Final = (0.3, 0.4, 0.5, 0.6)
LEAST: Final = (0.0, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
_SAME: Final = 5e-5  # in four digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Of one language: each question's paragraph and familiarity, and the scores of all paragraphs."""

    wanted: np.ndarray
    familiarity: np.ndarray
    words: np.ndarray
    meaning: np.ndarray

    def only(self, which: np.ndarray) -> Scored:
        """Some of the questions."""
        return Scored(**{name: getattr(self, name)[which] for name in self.__slots__})

    def ndcg(self, weight: float, least: float = 0.0) -> float:
        """With meaning counting `weight` times the familiarity, if that is at least `least`."""
        share = np.where(self.familiarity >= least, weight * self.familiarity, 0.0)[:, None]
        return self.ndcg_of(share * self.meaning + (1 - share) * self.words)

    def ndcg_of(self, scores: np.ndarray) -> float:
        own = scores[np.arange(len(self.wanted)), self.wanted][:, None]
        earlier = np.arange(scores.shape[1])[None, :] < self.wanted[:, None]
        place = ((scores > own) | ((scores == own) & earlier)).sum(axis=1)
        return float(np.where((place < DEPTH) & (own[:, 0] > 0), 1 / np.log2(place + 2), 0.0).mean())


def scored(encoder: ChunkEncoder, language: str) -> Scored:
    """Of the first half of the questions."""
    contexts, questions = data(language, half="dev")
    asked = asyncio.run(queries(encoder, questions))
    with tempfile.TemporaryDirectory() as folder:
        collection = Collection(Path(folder), encoder, [row["text"] for row in contexts])

        def work(connection: Connection) -> list[list[list[float]]]:
            ranking = collection.ranking(connection)
            return [[_scores(ranking, query, meaning) for query in asked] for meaning in (0.0, 1.0)]

        with collection.database as database:
            words, meaning = database.read_now(work)
    return Scored(
        wanted=np.array([question["par"] for question in questions]),
        familiarity=np.array([query.meaning.familiarity if query.meaning else 0.0 for query in asked]),
        words=np.array(words),
        meaning=np.array(meaning),
    )


def _scores(ranking: Ranking, query: Query, meaning: float) -> list[float]:
    scores = [0.0] * ranking.num_chunks
    for one in ranking.best(query, ranking.num_chunks, Mix(meaning=meaning)):
        scores[one.chunk.place] = one.score
    return scores


def judged(languages: dict[str, Scored]) -> dict[str, Any]:
    """Every pair with its mean and where it loses, and the one that is chosen."""
    halves = {
        f"{name} {half}": one.only((one.wanted // 2) % 2 == half)
        for name, one in languages.items()
        for half in (0, 1)
    }
    alone = {name: max(one.ndcg_of(one.words), one.ndcg_of(one.meaning)) for name, one in halves.items()}
    pairs: list[dict[str, Any]] = []
    for weight, least in product(WEIGHTS, LEAST):
        loses = [name for name, one in halves.items() if one.ndcg(weight, least) < alone[name] - _SAME]
        mean = sum(one.ndcg(weight, least) for one in languages.values()) / len(languages)
        pairs.append({"weight": weight, "least": least, "mean": mean, "loses": loses})
    chosen = max((pair for pair in pairs if not pair["loses"]), key=lambda pair: pair["mean"])
    return {"chosen": chosen, "pairs": pairs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    slot = EncoderSlot(threads=1)
    encoder = ChunkEncoder(slot, meter=lambda _: None)
    languages = {}
    for language in LANGUAGES:
        languages[language] = scored(encoder, language)
        print(language, flush=True)
    slot.close()
    report = judged(languages)
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(report["chosen"])


if __name__ == "__main__":
    main()
