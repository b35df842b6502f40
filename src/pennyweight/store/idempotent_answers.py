"""The repository of answers kept under their `Idempotency-Key`: a day long, and within a size per project."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select

from pennyweight.store.tables.idempotent_answers import idempotent_answers

if TYPE_CHECKING:
    from sqlalchemy import Connection

KEPT_S: Final = 24 * 60 * 60
MAX_ANSWER_BYTES: Final = 4 * 2**20
MAX_PROJECT_BYTES: Final = 256 * 2**20
MAX_PROJECT_ANSWERS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """An HTTP answer. `fingerprint` is of the request; `body` None: it was too large to keep."""

    fingerprint: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


class IdempotentAnswers:
    """Keys are a project's own."""

    def get(self, connection: Connection, project_id: str, key: str, *, now: int) -> KeptAnswer | None:
        """The answer kept under `key`, unless it is a day old."""
        of = idempotent_answers.c
        wanted = select(idempotent_answers).where(of.project_id == project_id, of.key == key)
        row = connection.execute(wanted.where(of.created_at > now - KEPT_S)).one_or_none()
        if row is None:
            return None
        headers = tuple((name, value) for name, value in json.loads(row.headers))
        return KeptAnswer(fingerprint=row.fingerprint, status=row.status, headers=headers, body=row.body)

    def put(self, connection: Connection, project_id: str, key: str, answer: KeptAnswer, *, now: int) -> None:
        """Keep `answer`; those that are too old go, and of this project the oldest that are too many."""
        of = idempotent_answers.c
        connection.execute(delete(idempotent_answers).where(of.created_at <= now - KEPT_S))
        connection.execute(delete(idempotent_answers).where(of.project_id == project_id, of.key == key))
        values = {
            "project_id": project_id,
            "key": key,
            "fingerprint": answer.fingerprint,
            "status": answer.status,
            "headers": json.dumps(answer.headers),
            "body": answer.body,
            "num_bytes": 0 if answer.body is None else len(answer.body),
            "created_at": now,
        }
        connection.execute(insert(idempotent_answers).values(values))
        self._bound(connection, project_id)

    def _bound(self, connection: Connection, project_id: str) -> None:
        of = idempotent_answers.c
        own = of.project_id == project_id
        kept = select(func.count(), func.coalesce(func.sum(of.num_bytes), 0)).where(own)
        while True:
            num, num_bytes = connection.execute(kept).one()
            if num <= MAX_PROJECT_ANSWERS and num_bytes <= MAX_PROJECT_BYTES:
                return
            oldest = select(of.key).where(own).order_by(of.created_at, of.key).limit(1 + num // 16)
            connection.execute(delete(idempotent_answers).where(own, of.key.in_(oldest)))
