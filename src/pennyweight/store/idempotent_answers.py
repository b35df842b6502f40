"""The repository of answers kept under their `Idempotency-Key`: a day long, and within a size per project.

What is deleted is not told again: an answer goes with each of the objects it tells of.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import delete, func, insert, select, tuple_

from pennyweight.store.tables.idempotent_answers import idempotent_answers, idempotent_objects

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Connection

KEPT_S: Final = 24 * 60 * 60
MAX_ANSWER_BYTES: Final = 4 * 2**20
MAX_PROJECT_BYTES: Final = 256 * 2**20
MAX_PROJECT_ANSWERS: Final = 20_000
_AT_ONCE: Final = 500  # ids in one statement


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

    def put(
        self,
        connection: Connection,
        project_id: str,
        key: str,
        answer: KeptAnswer,
        *,
        now: int,
        objects: Collection[str] = (),
    ) -> None:
        """Keep `answer`, which tells of `objects`; of this project the oldest that are too many go."""
        of = idempotent_answers.c
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
        rows = [{"project_id": project_id, "key": key, "object_id": own} for own in sorted(set(objects))]
        if rows:
            connection.execute(insert(idempotent_objects), rows)
        self._bound(connection, project_id)

    def forget(self, connection: Connection, *, now: int, limit: int) -> int:
        """Delete up to `limit` that are a day old, of all projects; how many there were."""
        of = idempotent_answers.c
        old = select(of.project_id, of.key).where(of.created_at <= now - KEPT_S).limit(limit)
        gone = delete(idempotent_answers).where(tuple_(of.project_id, of.key).in_(old))
        return connection.execute(gone).rowcount

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


def forget_answers(connection: Connection, object_ids: Sequence[str]) -> None:
    """Delete the answers that tell of these objects, in the transaction that deletes the objects."""
    of, its = idempotent_answers.c, idempotent_objects.c
    for first in range(0, len(object_ids), _AT_ONCE):
        some = its.object_id.in_(object_ids[first : first + _AT_ONCE])
        telling = select(its.project_id, its.key).where(some)
        connection.execute(delete(idempotent_answers).where(tuple_(of.project_id, of.key).in_(telling)))
