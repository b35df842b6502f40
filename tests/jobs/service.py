"""A real server process that can be killed and started again, and whether what it acknowledged is true."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai

import pennyweight
from pennyweight.answers.scopes import ADMIN_SCOPES
from pennyweight.core import Allowance
from pennyweight.store.data_folder import DataFolder
from pennyweight.store.database import Database
from pennyweight.store.organization import NewKey, Organization
from pennyweight.store.verify import verify
from tests.jobs.requests import CHAT, chat_line, jsonl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from openai.types import Batch
    from sqlalchemy import Connection

_SOURCES = str(Path(pennyweight.__file__).parents[1])
_IMPAIRED = Path(__file__).with_name("impaired.py")
_PATIENCE_S = 60.0
_ENDED = ("failed", "completed", "expired", "cancelled")
GONE = (openai.APIConnectionError, openai.InternalServerError)
"""What a client sees of a server that dies, or is starting."""


class Service:
    """`penny serve` on one data folder and one port."""

    def __init__(self, model: Path, folder: Path, *flags: str, before: Sequence[str] = ()) -> None:
        """`flags` are further ones of it; `before` are the words of a command that runs it."""
        self.folder = folder
        self.key = "any"
        self._flags = flags
        self._model = model
        self._before = before
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def client(self) -> openai.OpenAI:
        return openai.OpenAI(
            base_url=f"{self.url}/v1",
            api_key=self.key,
            admin_api_key=self.key,
            max_retries=0,
            _strict_response_validation=True,
        )

    def start(self, *, failpoint: str | None = None, wrong: Sequence[str] = ()) -> None:
        """Start it, to die at `failpoint`, and wait until it answers or has died.

        `wrong` names functions of `impaired`: what is wrong with it.
        """
        impaired = [sys.executable, str(_IMPAIRED), *wrong, "--"] if wrong else []
        environ = os.environ | {"PYTHONPATH": _SOURCES, "HOME": str(self.folder.parent)}
        environ |= {} if failpoint is None else {"PENNYWEIGHT_FAILPOINT": failpoint}
        command = [sys.executable, "-m", "pennyweight", "serve", "--model", str(self._model)]
        command += ["--port", str(self._port), "--data", str(self.folder), "--threads", "1", *self._flags]
        command = [*self._before, *impaired, *command]
        self._process = subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + _PATIENCE_S
        while self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health", timeout=5).status_code == 200:
                    return
            except httpx.HTTPError:
                pass
            assert time.monotonic() < deadline, "it never answered"
            time.sleep(0.02)

    def ended(self, batch_id: str) -> Batch:
        """The batch, when it has its last state."""
        deadline, client = time.monotonic() + _PATIENCE_S, self.client
        while (batch := client.batches.retrieve(batch_id)).status not in _ENDED:
            assert time.monotonic() < deadline, batch
            time.sleep(0.02)
        return batch

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator would."""
        self._end(signal.SIGTERM)

    def let_it_write(self, allowed: bool) -> None:
        """Whether it may write to any file: SQLite and blobs meet that as they meet a full disk."""
        assert self._process is not None
        most = resource.RLIM_INFINITY if allowed else 0
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run `statement` on its database: time passes, for example."""
        with closing(sqlite3.connect(self.folder / "pennyweight.db")) as connection, connection:
            return connection.execute(statement).fetchall()

    def issue(self, *scopes: str, project: str = "default", budget: int | None = None) -> str:
        """The secret of a new key, made while it is not running; without scopes it is an admin's."""
        organization, now = Organization(), int(time.time())
        with Database.open(DataFolder.open(str(self.folder)).database_url) as database:

            def work(connection: Connection) -> str:
                if not scopes:
                    wanted = NewKey(name="admin", scopes=ADMIN_SCOPES)
                    return organization.issue_admin(connection, wanted, now=now).secret.text
                wanted = NewKey(name="own", scopes=frozenset(scopes))
                allowance = Allowance(subject="", budget=budget)
                own = project
                if project != "default":
                    own = organization.projects.create(connection, name=project, now=now).id
                issued = organization.issue(connection, own, wanted, now=now, allowance=allowance)
                return issued.secret.text

            return database.write_now(work)

    def verify(self) -> None:
        """Everything stored agrees with everything else, while it is not running."""
        with Database.open(DataFolder.open(str(self.folder)).database_url) as database:
            assert [verdict for verdict in verify(database, self.folder) if verdict.findings] == []

    def wait_until_dead(self) -> int:
        """How it ended; 0 if it has not."""
        assert self._process is not None
        try:
            return self._process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            return 0

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()


@dataclass(slots=True)
class Acknowledged:
    """What a client was told, and may rely on from then on."""

    files: dict[str, bytes] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    batches: dict[str, list[str]] = field(default_factory=dict)  # the custom ids of each


class Customer:
    """Uploads, makes batches, cancels and deletes, for as long as the server answers."""

    def __init__(self, service: Service, *, seed: int = 0, num_lines: int = 30) -> None:
        self.told = Acknowledged()
        self._service = service
        self._random = random.Random(seed)
        self.num_lines = num_lines
        self.waits_for_lines = False  # before it cancels

    def exercise(self) -> None:
        """Everything once; returns early when the server has gone."""
        client = self._service.client
        try:
            self._batch(client, min(20 * self.num_lines, 800), cancel=True)
            batch_id = self._batch(client, self.num_lines)
            for index, kept in enumerate((True, False, True)):
                self._file(client, index, keep=kept)
            self._service.ended(batch_id)
        except GONE:
            return

    def check(self) -> int:
        """The output against the input, all that was acknowledged against what is there; lines answered."""
        client, told = self._service.client, self.told
        for file_id, content in told.files.items():
            assert client.files.content(file_id).read() == content
        present = {file.id for file in client.files.list()}
        assert not present & told.deleted
        texts: dict[str, str] = {}
        answered = 0
        for batch_id, custom_ids in told.batches.items():
            batch = self._service.ended(batch_id)
            lines = self._lines(client, batch.output_file_id)
            found = [line["custom_id"] for line in lines]
            assert len(set(found)) == len(found), "a line was answered twice"
            if batch.status == "completed":
                assert sorted(found) == sorted(custom_ids)
                assert batch.error_file_id is None
            else:
                assert batch.status == "cancelled", batch
                assert set(found) <= set(custom_ids)
            answered += len(found)
            for line in lines:  # greedy: an answer is the same whenever, and beside whomever, it was made
                text = line["response"]["body"]["choices"][0]["message"]["content"]
                assert texts.setdefault(line["custom_id"], text) == text
        return answered

    def _batch(self, client: openai.OpenAI, num_lines: int, *, cancel: bool = False) -> str:
        lines = [chat_line(number) for number in range(num_lines)]
        raw = jsonl(*lines)
        file = client.files.create(file=("in.jsonl", raw), purpose="batch")
        self.told.files[file.id] = raw
        batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
        self.told.batches[batch.id] = [line["custom_id"] for line in lines]
        if cancel:
            while self.waits_for_lines and client.batches.retrieve(batch.id).status == "validating":
                time.sleep(0.01)
            client.batches.cancel(batch.id)
        return batch.id

    def _file(self, client: openai.OpenAI, index: int, *, keep: bool) -> None:
        content = self._random.randbytes(100_000 + index)
        file = client.files.create(file=(f"{index}", content), purpose="user_data")
        self.told.files[file.id] = content
        if not keep:
            del self.told.files[file.id]  # whether it is there is not known until the answer comes
            client.files.delete(file.id)
            self.told.deleted.add(file.id)

    def _lines(self, client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
        if file_id is None:
            return []
        return [json.loads(line) for line in client.files.content(file_id).read().splitlines()]
