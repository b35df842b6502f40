"""Answers are kept a day, within a size, and only for their own project."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from pennyweight.store import idempotent_answers
from pennyweight.store.idempotent_answers import KEPT_S, IdempotentAnswers, KeptAnswer, forget_answers
from pennyweight.store.projects import Projects
from pennyweight.store.tables.idempotent_answers import idempotent_objects

if TYPE_CHECKING:
    import pytest

    from pennyweight.store.database import Database

ANSWERS = IdempotentAnswers()
NOW = 1_000_000


def kept(body: bytes | None = b"body", fingerprint: str = "f") -> KeptAnswer:
    return KeptAnswer(
        fingerprint=fingerprint, status=200, headers=(("content-type", "text/plain"),), body=body
    )


def put(
    database: Database, key: str, answer: KeptAnswer, *, project: str = "default", now: int = NOW
) -> None:
    database.write_now(lambda link: ANSWERS.put(link, project, key, answer, now=now))


def get(database: Database, key: str, *, project: str = "default", now: int = NOW) -> KeptAnswer | None:
    return database.read_now(lambda link: ANSWERS.get(link, project, key, now=now))


def test_an_answer_comes_back_as_it_was_for_a_day(database: Database) -> None:
    put(database, "k", kept(b"\x00\xff"))
    assert get(database, "k", now=NOW + KEPT_S - 1) == kept(b"\x00\xff")
    assert get(database, "k", now=NOW + KEPT_S) is None
    put(database, "l", kept(None), now=NOW + KEPT_S)
    assert get(database, "l", now=NOW + KEPT_S) == kept(None)


def test_old_ones_are_removed_in_portions(database: Database) -> None:
    for number in range(3):
        database.write_now(
            lambda link, number=number: ANSWERS.put(
                link, "default", f"k{number}", kept(), now=NOW, objects=["resp_1", f"resp_{number}"]
            )
        )
    put(database, "young", kept(), now=NOW + 1)
    removed = [
        database.write_now(lambda link: ANSWERS.forget(link, now=NOW + KEPT_S, limit=2)) for _ in range(3)
    ]
    assert removed == [2, 1, 0]
    assert get(database, "k0") is None
    assert get(database, "young") == kept()
    assert database.read_now(lambda link: link.execute(select(idempotent_objects)).all()) == []


def test_answers_go_with_each_object_they_tell_of(database: Database) -> None:
    told = {"a": ["thread_1", "msg_1"], "b": ["thread_1", "msg_2"], "c": []}
    for key, objects in told.items():
        database.write_now(
            lambda link, key=key, objects=objects: ANSWERS.put(
                link, "default", key, kept(), now=NOW, objects=objects
            )
        )
    database.write_now(lambda link: forget_answers(link, ["msg_1", "msg_3"]))
    assert [get(database, key) is None for key in told] == [True, False, False]
    database.write_now(lambda link: forget_answers(link, [f"x{n}" for n in range(600)] + ["thread_1"]))
    assert [get(database, key) is None for key in told] == [True, True, False]


def test_keys_are_a_projects_own(database: Database) -> None:
    other = database.write_now(lambda link: Projects().create(link, name="p", now=1)).id
    put(database, "k", kept(b"mine"))
    assert get(database, "k", project=other) is None
    put(database, "k", kept(b"theirs"), project=other)
    assert get(database, "k") == kept(b"mine")


def test_too_many_or_too_large_push_out_the_oldest(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotent_answers, "MAX_PROJECT_BYTES", 100)
    monkeypatch.setattr(idempotent_answers, "MAX_PROJECT_ANSWERS", 5)
    for number in range(8):
        put(database, f"k{number}", kept(b"x" * 10), now=NOW + number)
    assert [get(database, f"k{number}") is not None for number in range(8)] == 3 * [False] + 5 * [True]
    put(database, "large", kept(b"x" * 95), now=NOW + 9)
    assert get(database, "large") is not None
    assert get(database, "k7") is None
