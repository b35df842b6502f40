"""`verify` finds each kind of damage, and nothing in a store that is well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pennyweight.store.blobs import BlobStore, stored_blobs
from pennyweight.store.verify import verify
from tests.store.filled import add_run, fill
from tests.store.tuned import add_tuning

if TYPE_CHECKING:
    from pathlib import Path

    from pennyweight.store.database import Database


def findings(database: Database, folder: Path) -> dict[str, list[str]]:
    return {verdict.name: verdict.findings for verdict in verify(database, folder) if verdict.findings}


@pytest.fixture
def filled(database: Database, tmp_path: Path) -> Database:
    fill(database, BlobStore(tmp_path, database))
    return database


def damaged(database: Database, *statements: str) -> None:
    """Change what the database itself would refuse to be changed."""
    engine = database._engines.writing
    if engine.dialect.name == "sqlite":
        lifted = ["PRAGMA foreign_keys=OFF", "PRAGMA ignore_check_constraints=ON"]
    else:
        names = ("state", "lease", "ended")
        lifted = [f"ALTER TABLE generations DROP CONSTRAINT ck_generations_{name}" for name in names]
        lifted += [f"ALTER TABLE tuning_jobs DROP CONSTRAINT ck_tuning_jobs_{name}" for name in names[::2]]
        lifted.append("SET session_replication_role = replica")
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        assert raw is not None
        for statement in (*lifted, *statements):
            raw.cursor().execute(statement)
        raw.commit()
    engine.dispose()


def test_nothing_is_found_in_a_store_that_is_well(filled: Database, tmp_path: Path) -> None:
    filled.write_now(add_run)
    filled.write_now(add_tuning)
    assert findings(filled, tmp_path) == {}


OF_KEYS = [
    ("keys", "UPDATE api_keys SET revoked_at = NULL", "still opens an archived project"),
    (
        "keys",
        "UPDATE service_accounts SET deleted_at = 1",
        "still opens what a deleted service account did",
    ),
    ("keys", "UPDATE api_keys SET service_account_id = NULL", "is of default, its service account of None"),
    ("keys", "UPDATE api_keys SET digest = 'sk-' || id", "has a digest that is no SHA-256"),
    ("keys", "UPDATE api_keys SET redacted = 'sk-proj-' || id", "is shown as 'sk-proj-key_'"),
    ("keys", "UPDATE api_keys SET scopes = 'b a'", "has scopes that cannot be read, 'b a'"),
    ("keys", "UPDATE service_accounts SET role = 'king'", "2 service accounts have an unknown role"),
    ("limits", "UPDATE allowances SET subject = 'key_x'", "limits of key_x are of no key and no project"),
    ("limits", "UPDATE allowances SET budget = NULL, requests_per_minute = NULL", "limit nothing"),
    ("limits", "UPDATE allowances SET tokens_per_minute = -1", "are below nothing"),
    ("limits", "UPDATE allowances SET budget_period = 'year'", "are for an unknown period, 'year'"),
    ("limits", "UPDATE spending SET subject = 'x'", "what x spent in total is of no key"),
    ("limits", "UPDATE spending SET period = '2023-13' WHERE period <> 'total'", "is in no month"),
    ("limits", "UPDATE spending SET amount = -7", "is -7"),
    ("idempotent answers", "UPDATE idempotent_answers SET num_bytes = 9", "has 2 bytes, its row says 9"),
    ("idempotent answers", "UPDATE idempotent_answers SET num_bytes = 4194305", "more than are kept"),
    ("idempotent answers", "UPDATE idempotent_answers SET num_bytes = 999999999", "which is more than are"),
    ("idempotent answers", "UPDATE idempotent_answers SET status = 500", "has the status 500"),
    ("idempotent answers", "UPDATE idempotent_answers SET headers = '[1]'", "headers that cannot be read"),
    ("idempotent answers", "UPDATE idempotent_answers SET headers = ''", "headers that cannot be read"),
    ("idempotent answers", "UPDATE idempotent_answers SET fingerprint = 'x'", "that is no SHA-256"),
    ("idempotent answers", "UPDATE idempotent_answers SET key = 'ü'", "a key that nobody can send"),
]

OF_USAGE = [
    ("usage", "UPDATE usage SET outcome = 'lost'", "4 rows of usage have an unknown outcome, req_"),
    ("usage", "UPDATE usage SET kind = 'songs'", "are of an unknown kind"),
    ("usage", "UPDATE usage SET outcome = 'completed'", "2 rows of usage have an outcome that does not go"),
    ("usage", "UPDATE usage SET status = 429", "4 rows of usage have an outcome that does not go"),
    ("usage", "UPDATE usage SET status = 500", "4 rows of usage have an outcome that does not go"),
    ("usage", "UPDATE usage SET cpu_us = -1", "count less than nothing"),
    ("usage", "UPDATE usage SET cached_tokens = 6", "found more tokens cached than there were"),
    ("usage", "UPDATE usage SET price = 1", "2 rows of usage have a price, and nothing to pay for"),
    ("usage", "UPDATE usage SET model = NULL, model_asked = NULL", "2 rows of usage have a price, and no"),
    ("usage", "UPDATE usage SET model = NULL", "name one model of two"),
    ("usage", "DELETE FROM usage", "has 1 answered lines, usage knows 0 of them"),
    (
        "usage",
        "UPDATE usage SET prompt_tokens = 6",
        "tells of [5, 2, 3] tokens, the usage of its lines of [6",
    ),
    ("usage", "UPDATE batch_lines SET result = ''", "a line whose result cannot be read"),
    ("usage", "UPDATE batch_lines SET result = '{}'", "a line whose result cannot be read"),
]


@pytest.mark.parametrize(
    ("check", "statement", "found"),
    [
        ("generations", "UPDATE generations SET state = 'asleep'", "in an unknown state, 'asleep'"),
        (
            "generations",
            "UPDATE generations SET lease_expires_at = 1",
            "completed and its lease does not fit",
        ),
        ("generations", "UPDATE generations SET ended_at = NULL", "completed and its end does not fit"),
        ("generations", "UPDATE generations SET result = NULL", "completed without a result"),
        ("generations", "UPDATE generations SET state = 'failed'", "failed without an error"),
        ("generations", "UPDATE generations SET attempt = 9", "attempted 9 times with 1 leases"),
        ("generations", "UPDATE generations SET request = '{'", "has a request that is no JSON"),
        ("generations", "UPDATE generations SET fence = 0, attempt = 0", "has events, but nobody"),
        (
            "references",
            "DELETE FROM conversations",
            "3 rows of conversation_items name a row of conversations",
        ),
        ("references", "DELETE FROM service_accounts", "2 rows of api_keys name a row of service_accounts"),
        (
            "items",
            "DELETE FROM generation_items; DELETE FROM conversation_items",
            "stands in no conversation",
        ),
        ("items", "UPDATE items SET wire = 'x'", "is no JSON"),
        ("items", "UPDATE items SET project_id = 'proj_x'", "of another project"),
        ("responses", "DELETE FROM generation_items", "tells another output than its items"),
        (
            "responses",
            "UPDATE generations SET project_id = 'proj_x' WHERE parent_id IS NULL",
            "continues what belongs to another project",
        ),
        ("blobs", "UPDATE blob_uses SET num_bytes = 1", "its row says 1"),
        ("files", "UPDATE files SET num_bytes = 1", "says 1 bytes, its content has"),
        ("files", "DELETE FROM blob_uses", "has 0 contents"),
        ("batches", "DELETE FROM blob_uses", "is under way without its input"),
        ("batches", "UPDATE batches SET state = 'asleep'", "in an unknown state, 'asleep'"),
        (
            "batches",
            "UPDATE batches SET num_completed = 2",
            "counts 2 completed and 0 failed lines, its rows say 1",
        ),
        ("batches", "UPDATE batches SET num_failed = 2", "1 completed and 2 failed of 2 lines"),
        ("batches", "DELETE FROM batch_lines", "its rows say 0 completed and 0 failed"),
        ("batches", "UPDATE batches SET state = 'expired'", "expired and does not say since when"),
        ("batches", "UPDATE batches SET state = 'completed'", "completed and has 1 rows of lines left"),
        ("batches", "UPDATE batches SET state = 'cancelled'", "cancelled and still holds its input"),
        ("batches", "UPDATE batches SET state = 'completed'", "not all its lines are done"),
        ("vector stores", "UPDATE vector_store_files SET state = 'asleep'", "in an unknown state, 'asleep'"),
        (
            "vector stores",
            "UPDATE vector_store_files SET num_chunks = 3",
            "counts 3 chunks of 2 words, has 2 of 2",
        ),
        ("vector stores", "UPDATE chunks SET place = 7 WHERE place = 1", "has gaps between its chunks"),
        ("vector stores", "UPDATE chunk_vectors SET num_vectors = 1", "has 1 vectors for 2 chunks"),
        *OF_KEYS,
        *OF_USAGE,
    ],
)
def test_each_kind_of_damage_is_found(
    filled: Database, tmp_path: Path, check: str, statement: str, found: str
) -> None:
    damaged(filled, *statement.split("; "))
    assert any(found in finding for finding in findings(filled, tmp_path)[check])


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE tuning_jobs SET state = 'asleep'", "in an unknown state, 'asleep'"),
        ("UPDATE tuning_jobs SET ended_at = NULL", "succeeded and its end does not fit"),
        ("UPDATE tuning_jobs SET begun_at = NULL", "running and does not say since when"),
        ("UPDATE tuning_jobs SET lease_expires_at = 9", "succeeded and somebody works on it"),
        ("UPDATE tuning_jobs SET fine_tuned_model = NULL", "succeeded and its model does not fit"),
        ("UPDATE tuning_jobs SET error = '{}'", "succeeded and its error does not fit"),
        ("UPDATE tuning_jobs SET hyperparameters = '{'", "has hyperparameters that are no JSON"),
        ("UPDATE tuning_jobs SET trained_tokens = -1", "counts less than nothing"),
        ("DELETE FROM blob_uses WHERE owner_id LIKE '%/training'", "0 contents of its training file"),
        ("DELETE FROM blob_uses WHERE owner_id LIKE 'ft:%'", "has 0 contents"),
        ("UPDATE tuned_models SET config = '{}'", "is another adapter than it says"),
        ("UPDATE tuning_checkpoints SET metrics = ''", "has metrics that are no JSON"),
    ],
)
def test_each_kind_of_damage_to_fine_tuning_is_found(
    filled: Database, tmp_path: Path, statement: str, found: str
) -> None:
    filled.write_now(add_tuning)
    damaged(filled, statement)
    assert any(found in finding for finding in findings(filled, tmp_path)["fine-tuning"])


def test_a_text_index_that_lost_a_chunk(sqlite_url: str, tmp_path: Path) -> None:
    from pennyweight.store.database import Database

    with Database.open(sqlite_url) as database:
        fill(database, BlobStore(tmp_path, database))
        damaged(database, "DROP TRIGGER chunk_index_removed", "DELETE FROM chunks WHERE place = 1")
        assert "the text index has 2 chunks, there are 1" in findings(database, tmp_path)["vector stores"]


def test_blobs_are_read_anew(filled: Database, tmp_path: Path) -> None:
    blob = next(stored_blobs(tmp_path / "blobs"))
    path = tmp_path / "blobs" / blob.project_id / blob.sha256[:2] / blob.sha256
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    assert f"{blob.sha256} is damaged" in findings(filled, tmp_path)["blobs"][0]
    path.unlink()
    assert f"{blob.sha256} is missing" in findings(filled, tmp_path)["blobs"][0]


def test_a_file_with_a_damaged_page(sqlite_url: str, tmp_path: Path) -> None:
    from pennyweight.store.database import Database

    with Database.open(sqlite_url) as database:
        fill(database, BlobStore(tmp_path, database))
    path = tmp_path / "pennyweight.db"
    content = bytearray(path.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    root = _root_page(path)
    content[(root - 1) * page : (root - 1) * page + 64] = bytes(64)
    path.write_bytes(content)
    with Database.open(sqlite_url) as database:
        assert "database" in findings(database, tmp_path)


def _root_page(path: Path) -> int:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as connection:
        ((root,),) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'items'").fetchall()
    return int(root)
