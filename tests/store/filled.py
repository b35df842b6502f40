"""A store with a little of everything in it, for tests of what concerns all tables."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from pennyweight.core import Allowance, Usage
from pennyweight.store.assistants import Assistant, Assistants
from pennyweight.store.batch_claims import BatchClaims
from pennyweight.store.batch_work import BatchWork, LineRow
from pennyweight.store.batches import Batches, NewBatch
from pennyweight.store.conversations import Conversations
from pennyweight.store.events import Event, Events
from pennyweight.store.files import Files, StoredFile
from pennyweight.store.generation import NewGeneration, State
from pennyweight.store.generations import Generations
from pennyweight.store.idempotent_answers import IdempotentAnswers, KeptAnswer
from pennyweight.store.identifiers import new_id
from pennyweight.store.ingestion_work import IngestionWork, NewChunk, Portion
from pennyweight.store.items import Item, Items
from pennyweight.store.organization import NewKey, Organization
from pennyweight.store.pages import Cursor
from pennyweight.store.run_steps import RunStep, RunSteps
from pennyweight.store.runs import Runs
from pennyweight.store.spending import Spending
from pennyweight.store.thread_messages import ThreadMessage, ThreadMessages
from pennyweight.store.threads import Threads
from pennyweight.store.usage import UsageRow, UsageRows
from pennyweight.store.vector_store import NewStoreFile, NewVectorStore, StaticChunking
from pennyweight.store.vector_store_files import VectorStoreBatches, VectorStoreFiles
from pennyweight.store.vector_stores import VectorStores
from tests.store.begun import begun

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pennyweight.store.blob import Blob
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database

NOW = 1_700_000_000


def fill(database: Database, blobs: BlobStore) -> None:
    """Add some of everything to the default project."""
    with blobs.receive("default", max_bytes=100) as incoming:
        incoming.write(new_id("content of ").encode())
        blob = incoming.finish()
        database.write_now(lambda c: _add_batch(c, blob))
    database.write_now(_add_usage)
    database.write_now(_add_vector_store)
    database.write_now(_add_keys)
    database.write_now(_add_kept_answer)
    database.write_now(_add_answers)


def _add_batch(connection: Connection, blob: Blob) -> None:
    """A file, and a batch over it with one answered line."""
    file = StoredFile(
        id=new_id("file-"),
        project_id="default",
        filename="ü.jsonl",
        purpose="batch",
        num_bytes=blob.num_bytes,
        created_at=NOW,
    )
    Files().add(connection, file, blob)
    new = NewBatch(
        id=new_id("batch_"),
        project_id="default",
        key_id=None,
        endpoint="/v1/completions",
        input_file_id=file.id,
        created_at=NOW,
        expires_at=NOW + 86_400,
    )
    Batches().add(connection, new, blob)
    claimed = BatchClaims().claim(connection, owner="w", now=NOW, lease_s=30)
    assert claimed is not None
    _, lease = claimed
    BatchWork().begin(connection, lease, model="tiny", num_lines=2, now=NOW)
    used, request_id = Usage(prompt_tokens=5, cached_tokens=2, completion_tokens=3), new_id("req_")
    result = f'{{"response": {{"request_id": "{request_id}"}}}}\n'.encode()
    row = LineRow(line=1, succeeded=True, result=result, usage=used)
    BatchWork().add_lines(connection, lease, [row])
    UsageRows().add(connection, [_usage(request_id, used, batch=True)])


def _add_vector_store(connection: Connection) -> None:
    """A store with a file that is half read."""
    new = NewVectorStore(id=new_id("vs_"), project_id="default", created_at=NOW, metadata={"a": "ü"})
    store = VectorStores().add(connection, new)
    (file,) = Files().page(connection, "default", Cursor(limit=1), now=NOW).items
    batch_id = new_id("vsfb_")
    VectorStoreBatches().add(connection, store, batch_id, now=NOW)
    put = NewStoreFile(id=file.id, attributes={"year": 2024.0})
    VectorStoreFiles().add(connection, store, [put], now=NOW, batch_id=batch_id)
    work = IngestionWork().claim(connection, now=NOW, lease_s=30)
    assert work is not None
    sizes = StaticChunking(max_tokens=100, overlap_tokens=10)
    IngestionWork().begin(connection, work.lease, recipe="r", sizes=sizes)
    chunks = [NewChunk(text=word, words=word, num_words=1) for word in ("eins", "zwei")]
    portion = Portion(chunks=chunks, encoder="e", vectors=b"\0\1")
    IngestionWork().add(connection, work.file, work.lease, portion)


def _usage(request_id: str, used: Usage, *, batch: bool) -> UsageRow:
    return UsageRow(
        request_id=request_id,
        ended_at=NOW,
        project_id="default",
        kind="completions",
        endpoint="/v1/chat/completions",
        model_asked="gpt-4o-mini",
        model="tiny",
        batch=batch,
        prompt_tokens=used.prompt_tokens,
        cached_tokens=used.cached_tokens,
        completion_tokens=used.completion_tokens,
        outcome="completed",
        status=200,
        price=7,
    )


def _add_usage(connection: Connection) -> None:
    one = _usage(new_id("req_"), Usage(prompt_tokens=1), batch=False)
    refused = replace(one, request_id=new_id("req_"), outcome="refused", status=404, price=0)
    nameless = replace(refused, request_id=new_id("req_"), model=None, model_asked=None)
    UsageRows().add(connection, [one, refused, nameless])


def _add_keys(connection: Connection) -> None:
    """Of a project, of one that is archived, and of nobody's; limits, and something spent."""
    house, limits = Organization(), Allowance(subject="", requests_per_minute=9, budget=10**12)
    wanted = NewKey(name="k", scopes=["model.request", "api.files.read"])
    issued = house.issue(connection, "default", wanted, now=NOW, allowance=limits)
    house.issue_admin(connection, NewKey(name="root", scopes=["api.management.read"]), now=NOW)
    old = house.projects.create(connection, name="old", now=NOW)
    house.issue(connection, old.id, wanted, now=NOW)
    house.archive(connection, old.id, now=NOW)
    Spending().put(connection, new_id("run_"), {(issued.key.id, "2023-11"): 7, ("default", "total"): 9})


def _add_kept_answer(connection: Connection) -> None:
    headers = (("content-type", "application/json"),)
    answer = KeptAnswer(fingerprint="0a" * 32, status=200, headers=headers, body=b"{}")
    told = [new_id("resp_")]
    IdempotentAnswers().put(connection, "default", new_id("key-"), answer, now=NOW, objects=told)


def _add_answers(connection: Connection) -> None:
    generations, items = Generations(), Items()
    conversation = Conversations().create(connection, "default", metadata={"a": "ü"}, now=NOW)
    parent = None
    for _ in range(3):
        new = NewGeneration(
            id=new_id("resp_"),
            kind="response",
            model="tiny",
            request="{}",
            parent_id=parent,
            conversation_id=conversation.id,
            metadata={},
        )
        lease = begun(connection, "default", new, now=NOW)
        item = Item(id=new_id("msg_"), type="message", wire='{"t":"ü\\u0000"}', created_at=NOW)
        Conversations().append(connection, "default", conversation.id, [item])
        items.give(connection, new.id, "output", [item.id])
        Events().append(connection, lease, [Event(sequence_number=0, wire="{}")], now=NOW)
        result = json.dumps({"output": [{"id": item.id}]})
        generations.finish(connection, lease, to=State.COMPLETED, now=NOW, result=result)
        parent = new.id


def add_run(connection: Connection) -> None:
    """An assistant, and a thread with a run that has taken a step."""
    assistant = Assistant(id=new_id("asst_"), settings={"model": "tiny", "name": "ü"}, created_at=NOW)
    Assistants().add(connection, "default", assistant)
    thread = Threads().create(connection, "default", metadata={"a": "ü"}, tool_resources={}, now=NOW)
    message = ThreadMessage(
        id=new_id("msg_"),
        thread_id=thread.id,
        run_id=None,
        metadata={},
        body={"role": "user", "content": []},
        created_at=NOW,
    )
    ThreadMessages().append(connection, "default", [message])
    new = NewGeneration(
        id=new_id("run_"),
        kind="run",
        model="tiny",
        request="{}",
        conversation_id=thread.id,
        metadata={},
    )
    Runs().queue(connection, "default", new, expires_at=NOW + 600, streams=False, now=NOW)
    step = RunStep(
        id=new_id("step_"),
        run_id=new.id,
        state="in_progress",
        details={"type": "tool_calls", "tool_calls": []},
        usage={"total_tokens": 1},
        created_at=NOW,
        ended_at=None,
    )
    RunSteps().add(connection, [step])
