"""What is found, and in which order: the same on both databases, from the searched stores alone."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

import pytest

from pennyweight.native import _native
from pennyweight.retrieval import ranking
from pennyweight.retrieval.ingestion import chunks_from
from pennyweight.retrieval.ranking import Meaning, Mix, Query, Ranking
from pennyweight.store.ingestion_work import IngestionWork, Portion
from pennyweight.store.vector_store import NewStoreFile
from pennyweight.store.vector_store_files import VectorStoreFiles
from tests.store.test_vector_stores import NOW, SIZES, new_store, upload

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pennyweight.store.database import Database
    from pennyweight.store.vector_store import VectorStore

TEXTS = ("red red fish", "red fish and a blue fish", "the green tree", "the blue tree", "the the the")
WIDTH = 32


def vector(place: int) -> bytes:
    return array("f", [1.0 if i == place else 0.0 for i in range(WIDTH)]).tobytes()


def put(database: Database, store: VectorStore, folder: Path, texts: Sequence[str]) -> int:
    """A file of these chunks, whose vectors stand at right angles; its number."""
    file_id, work = upload(database, folder), IngestionWork()
    new = [NewStoreFile(id=file_id)]
    database.write_now(lambda c: VectorStoreFiles().add(c, store, new, now=NOW))
    claimed = database.write_now(lambda c: work.claim(c, now=NOW, lease_s=30))
    assert claimed is not None
    vectors = _native.to_q8_0(b"".join(vector(place) for place in range(len(texts))), type="F32")
    portion = Portion(chunks=list(chunks_from(texts)), encoder="e", vectors=vectors)
    database.write_now(lambda c: work.begin(c, claimed.lease, recipe="r", sizes=SIZES))
    database.write_now(lambda c: work.add(c, claimed.file, claimed.lease, portion))
    database.write_now(lambda c: work.complete(c, claimed.lease))
    return claimed.file.number


def best(
    database: Database,
    stores: Sequence[VectorStore],
    text: str,
    *,
    meaning: Meaning | None = None,
    mix: Mix | None = None,
    files: Collection[int] | None = None,
) -> list[tuple[str, float]]:
    query, numbers = Query(text=text, meaning=meaning), [store.number for store in stores]
    ranked = database.read_now(lambda c: Ranking(c, numbers, files).best(query, 9, mix or Mix()))
    return [(one.chunk.text, one.score) for one in ranked]


@pytest.fixture
def store(database: Database, tmp_path: Path) -> VectorStore:
    store = database.write_now(new_store)
    put(database, store, tmp_path, TEXTS)
    return store


def test_words_alone(database: Database, store: VectorStore) -> None:
    assert [text for text, _ in best(database, [store], "a red fish")] == [
        "red fish and a blue fish",
        "red red fish",
    ]
    assert best(database, [store], "BLUE tree")[0][0] == "the blue tree"
    assert best(database, [store], "nothing of this?!") == []
    assert best(database, [store], "") == []
    assert all(0 < score <= 1 for _, score in best(database, [store], "the blue red"))


def test_meaning_alone_and_both(database: Database, store: VectorStore) -> None:
    green = Meaning(vector=vector(2), encoder="e", familiarity=1.0)
    assert best(database, [store], "fish", meaning=green, mix=Mix(meaning=1.0)) == [
        ("the green tree", pytest.approx(1.0, abs=0.01))
    ]
    both = dict(best(database, [store], "blue", meaning=green))
    weight = ranking.MEANING_WEIGHT
    assert both["the green tree"] == pytest.approx(weight, abs=0.01)
    assert 0 < both["the blue tree"] < 1 - weight
    for familiarity in (0.0, ranking.LEAST_FAMILIARITY - 0.01):
        unknown = Meaning(vector=vector(2), encoder="e", familiarity=familiarity)
        assert best(database, [store], "blue", meaning=unknown) == best(database, [store], "blue")
    half = Meaning(vector=vector(2), encoder="e", familiarity=ranking.LEAST_FAMILIARITY)
    part = weight * ranking.LEAST_FAMILIARITY
    assert dict(best(database, [store], "blue", meaning=half))["the green tree"] == pytest.approx(
        part, abs=0.01
    )
    other = Meaning(vector=vector(2), encoder="another", familiarity=1.0)
    assert "the green tree" not in dict(best(database, [store], "blue", meaning=other))


def test_other_stores_have_no_part_in_the_scores(
    database: Database, store: VectorStore, tmp_path: Path
) -> None:
    before = best(database, [store], "blue fish tree")
    other = database.write_now(new_store)
    put(database, other, tmp_path, ["blue"] * 50)
    assert best(database, [store], "blue fish tree") == before
    assert len(best(database, [store, other], "blue")) == 9


def test_only_files_that_are_wanted(database: Database, store: VectorStore, tmp_path: Path) -> None:
    number = put(database, store, tmp_path, ["blue whale"])
    assert [text for text, _ in best(database, [store], "blue", files={number})] == ["blue whale"]
    assert best(database, [store], "blue", files=set()) == []


def test_of_many_chunks_those_with_rare_words_are_scored(
    database: Database, store: VectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(database, store, tmp_path, ["the common chunk"] * 30)
    monkeypatch.setattr(ranking, "_MAX_SCORED", 5)
    assert best(database, [store], "the green common")[0][0] == "the green tree"
    assert len(best(database, [store], "common")) == 5
    number = put(database, store, tmp_path, ["a common case"])
    assert [text for text, _ in best(database, [store], "common", files={number})] == ["a common case"]
