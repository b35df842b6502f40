"""How well vector stores find the paragraph that answers a question: by words, by meaning, and by both.

XQuAD (CC-BY-SA-4.0; not shipped, looked for in `$PENNYWEIGHT_SHARED/data/xquad`): 240 paragraphs of Wikipedia
and 1,190 questions in each of 12 languages. Each paragraph is a chunk of one store; nDCG@10 counts the place
of the one paragraph a question was written about. The questions about every second paragraph are measured;
`retrieval_weights` has chosen the weights on the others. Then: which sentences are cited.

    python -m benchmarks.retrieval --languages en,de
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import math
import os
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from benchmarks.machine import describe_machine
from pennyweight.answers.passages import Passage
from pennyweight.encoder import EncoderSlot
from pennyweight.retrieval import citations
from pennyweight.retrieval.encoding import ChunkEncoder
from pennyweight.retrieval.ingestion import chunks_from
from pennyweight.retrieval.metering import Client
from pennyweight.retrieval.ranking import Mix, Ranking
from pennyweight.store.blobs import BlobStore
from pennyweight.store.database import Database
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.ingestion_work import IngestionWork, Portion
from pennyweight.store.vector_store import NewStoreFile, NewVectorStore, StaticChunking
from pennyweight.store.vector_store_files import VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from pennyweight.retrieval.ranking import Query

Half = Literal["dev", "test"]
RESULTS: Final = Path(__file__).parent / "results" / "retrieval.json"
LANGUAGES: Final = ("en", "de", "es", "ro", "el", "ru", "tr", "ar", "vi", "th", "zh", "hi")
WAYS: Final = {"words": Mix(meaning=0.0), "meaning": Mix(meaning=1.0), "hybrid": Mix()}
SHARES: Final = (0.5, 0.6, 0.7, 0.8, 0.9)
DEPTH: Final = 10
NUM_SHOWN: Final = 5
NOBODY: Final = Client(project="default", endpoint="benchmark")
_SIZES: Final = StaticChunking(max_tokens=4096, overlap_tokens=0)


def data(language: str, half: Half = "test") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """All paragraphs, in the order of their numbers, and the questions about half of them."""
    root = Path(os.environ.get("PENNYWEIGHT_SHARED", Path(__file__).parents[2] / "shared")) / "data" / "xquad"
    contexts, questions = (
        [row for row in _rows(root / f"{name}.jsonl.gz") if row["lang"] == language]
        for name in ("contexts", "questions")
    )
    remainder = 0 if half == "dev" else 1
    asked = [row for row in questions if row["par"] % 2 == remainder]
    return sorted(contexts, key=lambda row: row["par"]), asked


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def ndcg(found: Sequence[int], wanted: int) -> float:
    """Of one relevant paragraph: 1 in the first place, less further down."""
    return 1 / math.log2(found.index(wanted) + 2) if wanted in found else 0.0


class Collection:
    """A vector store in a folder, each text a chunk of it."""

    def __init__(self, folder: Path, encoder: ChunkEncoder, texts: Sequence[str]) -> None:
        self.database = Database.open(f"sqlite:///{folder / 'store.db'}")
        blobs = BlobStore(folder, self.database)
        with blobs.receive("default", max_bytes=9) as incoming:
            incoming.write(b"x")
            blob = incoming.finish()
            file = StoredFile(
                id="file-x",
                project_id="default",
                filename="x",
                purpose="assistants",
                num_bytes=1,
                created_at=1,
            )
            self.database.write_now(lambda c: Files().add(c, file, blob))
        new = NewVectorStore(id="vs_x", project_id="default", created_at=1)
        self.store = self.database.write_now(lambda c: VectorStores().add(c, new))
        put = [NewStoreFile(id=file.id)]
        self.database.write_now(lambda c: VectorStoreFiles().add(c, self.store, put, now=1))
        portion = Portion(
            chunks=list(chunks_from(texts)), encoder=encoder.name, vectors=encoder.encode(texts, NOBODY)
        )
        self.database.write_now(lambda c: _stored(c, portion))

    def ranking(self, connection: Connection) -> Ranking:
        return Ranking(connection, [self.store.number], None)


def _stored(connection: Connection, portion: Portion) -> None:
    work = IngestionWork()
    claimed = work.claim(connection, now=1, lease_s=60)
    assert claimed is not None
    work.begin(connection, claimed.lease, recipe="benchmark", sizes=_SIZES)
    work.add(connection, claimed.file, claimed.lease, portion)
    work.complete(connection, claimed.lease)


async def queries(encoder: ChunkEncoder, questions: Sequence[dict[str, Any]]) -> list[Query]:
    return [await encoder.encode_query(row["question"], NOBODY) for row in questions]


def measure(encoder: ChunkEncoder, language: str) -> dict[str, Any]:
    """nDCG@10 of each way; of English also what is cited."""
    contexts, questions = data(language)
    texts = [row["text"] for row in contexts]
    asked = asyncio.run(queries(encoder, questions))
    with tempfile.TemporaryDirectory() as folder:
        collection = Collection(Path(folder), encoder, texts)

        def work(connection: Connection) -> dict[str, Any]:
            found: dict[str, list[list[int]]] = {}
            for name, mix in WAYS.items():
                ranking = collection.ranking(connection)
                found[name] = [
                    [one.chunk.place for one in ranking.best(query, DEPTH, mix)] for query in asked
                ]
            scores = {
                name: sum(ndcg(f, q["par"]) for f, q in zip(all_found, questions, strict=True))
                / len(questions)
                for name, all_found in found.items()
            }
            told: dict[str, Any] = {"questions": len(questions), "ndcg": scores}
            if language == "en":
                told["cited"] = cited(contexts, questions, found["hybrid"])
            return told

        with collection.database as database:
            return database.read_now(work)


def cited(
    contexts: Sequence[dict[str, Any]], questions: Sequence[dict[str, Any]], found: Sequence[Sequence[int]]
) -> list[dict[str, float]]:
    """At several thresholds: sentences cited rightly and wrongly, of those shown the best passages.

    A sentence that is supported is one of a shown passage, a third of its words replaced by words of any
    paragraph; one that is not is of another paragraph of the same article.
    """
    random_ = random.Random(1)
    others = [word for row in contexts for word in row["text"].split()]
    cases: list[tuple[str, list[Passage], str | None]] = []
    for question, places in zip(questions, found, strict=True):
        if not places:
            continue
        shown = [_passage(contexts, place) for place in places[:NUM_SHOWN]]
        own = random_.choice(places[:NUM_SHOWN])
        cases.append((_changed(_sentence(contexts[own]["text"], random_), others, random_), shown, str(own)))
        title = contexts[question["par"]]["title"]
        unseen = [row for row in contexts if row["title"] == title and row["par"] not in places[:NUM_SHOWN]]
        if unseen:
            cases.append((_sentence(random_.choice(unseen)["text"], random_), shown, None))
    return [_judged(share, cases) for share in SHARES]


def _judged(share: float, cases: Sequence[tuple[str, list[Passage], str | None]]) -> dict[str, float]:
    right = wrong = supported = 0
    for sentence, shown, source in cases:
        supported += source is not None
        made = citations.cite(sentence, shown, min_share=share)
        if any(one.passage.file_id == source for one in made):
            right += 1
        elif made:
            wrong += 1
    return {
        "share": share,
        "supported_cited": right / supported,
        "cited_wrongly": wrong / max(1, right + wrong),
    }


def _passage(contexts: Sequence[dict[str, Any]], place: int) -> Passage:
    text = contexts[place]["text"]
    return Passage(file_id=str(place), filename=str(place), text=text, score=0.0, attributes={})


def _sentence(text: str, random_: random.Random) -> str:
    return random_.choice([part for part in text.split(". ") if part.strip()]).rstrip(".") + "."


def _changed(sentence: str, others: Sequence[str], random_: random.Random) -> str:
    words = sentence.rstrip(".").split()
    return " ".join(random_.choice(others) if random_.random() < 1 / 3 else word for word in words) + "."


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--languages", default=",".join(LANGUAGES))
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    report: dict[str, Any] = {"languages": {}}
    if options.output.exists():
        report = json.loads(options.output.read_text(encoding="utf-8"))
    slot = EncoderSlot(threads=1)
    encoder = ChunkEncoder(slot, meter=lambda _: None)
    for language in options.languages.split(","):
        report["languages"][language] = measured = measure(encoder, language)
        print(language, json.dumps(measured["ndcg"]), flush=True)
        report |= {"machine": describe_machine(), "encoder": encoder.name}
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    slot.close()


if __name__ == "__main__":
    main()
