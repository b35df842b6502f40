"""`penny keys` beside a real server: what it does holds from the next request on."""

from __future__ import annotations

import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from tests.cli.test_serve import started

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.penny import Penny

HI: Any = [{"role": "user", "content": "Hi"}]


def created(penny: Penny, *arguments: str) -> dict[str, Any]:
    done = penny.run("keys", "create", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


def listed(penny: Penny) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(penny.run("keys", "list", "--json").stdout)
    return rows


def status(url: str, secret: str | None = None) -> int:
    headers = {} if secret is None else {"authorization": f"Bearer {secret}"}
    return httpx.get(f"{url}/v1/models", headers=headers).status_code


def test_keys_are_made_and_revoked_beside_a_running_server(penny: Penny, tiny_llama_path: Path) -> None:
    process, url = started(penny, tiny_llama_path)
    try:
        assert status(url) == 200
        first = created(penny, "first")
        assert status(url) == 401, "from the first key on"
        assert status(url, first["value"]) == 200
        second = created(penny, "second", "--new-project", "two", "--scope", "model.request")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=second["value"], max_retries=0)
        answer = client.chat.completions.create(model="tiny-llama", messages=HI, max_tokens=3)
        assert answer.usage is not None
        done = penny.run("keys", "revoke", first["id"])
        assert (done.returncode, done.stdout) == (0, f"Revoked {first['id']} (first).\n")
        assert status(url, first["value"]) == 401, "at once"
        assert status(url, second["value"]) == 200
        with pytest.raises(openai.AuthenticationError):
            client.with_options(project="default").models.list()
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert first["value"] not in errors


def test_a_budget_outlives_the_server(penny: Penny, tiny_llama_path: Path) -> None:
    made = created(penny, "thrifty", "--budget", "0.00002", "--budget-period", "total")
    codes = []
    for _ in range(2):
        process, url = started(penny, tiny_llama_path)
        try:
            body = {"model": "tiny-llama", "messages": HI, "max_tokens": 10}
            headers = {"authorization": f"Bearer {made['value']}"}
            for _ in range(6):
                reply = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=60)
                codes.append(reply.status_code)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=60)
    assert codes[0] == 200
    assert codes[5:] == [429] * 7, "used up, and still after a restart"
    [row] = listed(penny)
    assert row["limits"] == "$2e-05 in total"
    assert 0 < float(row["spent"].removeprefix("$")) <= 0.00002


def test_other_machines_are_let_in_with_a_key(penny: Penny, tiny_llama_path: Path) -> None:
    done = penny.run("serve", "--model", str(tiny_llama_path), "--host", "0.0.0.0", "--port", "0")
    assert done.returncode == 1
    assert "penny keys create" in done.stderr
    made = created(penny, "lan")
    process, url = started(penny, tiny_llama_path, "--host", "0.0.0.0")
    url = url.replace("0.0.0.0", "127.0.0.1")
    try:
        assert (status(url), status(url, made["value"])) == (401, 200)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def test_the_secret_alone_is_on_standard_output(penny: Penny) -> None:
    done = penny.run("keys", "create", "ci", "--expires", "90d", "--requests-per-minute", "60")
    assert done.returncode == 0
    secret = done.stdout.strip()
    assert secret.startswith("sk-proj-")
    assert done.stdout == secret + "\n"
    assert secret not in done.stderr
    [row] = listed(penny)
    assert row["limits"] == "60 requests/min"
    assert row["state"].startswith("until ")
    assert secret not in json.dumps(row)
    table = penny.run("keys", "list").stdout
    assert row["id"] in table
    folder = penny.home / "data" / "pennyweight"
    assert folder.stat().st_mode & 0o777 == 0o700
    with closing(sqlite3.connect(folder / "pennyweight.db")) as link:
        (expires_at,) = link.execute("select expires_at from api_keys").fetchone()
    assert abs(expires_at - time.time() - 90 * 86400) < 60


def test_an_admin_key(penny: Penny) -> None:
    made = created(penny, "root", "--admin")
    assert made["value"].startswith("sk-admin-")
    assert made["project"] is None
    assert "api.management.write" in made["scopes"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", "--scope", "model.reqest"), "did you mean 'model.request'"),
        (("x", "--scope", "api.management.read"), "admin key"),
        (("x", "--project", "nobody"), "No project has the id or name 'nobody'"),
        (("x", "--project", "a", "--new-project", "b"), "not both"),
        (("x", "--admin", "--budget", "1"), "no limits"),
        (("x", "--expires", "soon"), "such as 90d"),
        (("x", "--budget", "-1"), "from 0 to 1000000"),
        (("x", "--budget", "nan"), "from 0 to 1000000"),
        (("x", "--requests-per-minute", "0"), "from 1 to"),
        ((" ",), "is empty"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    penny: Penny, arguments: tuple[str, ...], message: str
) -> None:
    done = penny.run("keys", "create", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    created(penny, "first")
    assert [key["name"] for key in listed(penny)] == ["first"]


def test_a_key_that_is_not_there(penny: Penny) -> None:
    created(penny, "first")
    done = penny.run("keys", "revoke", "key_none")
    assert done.returncode == 1
    assert "penny keys list" in done.stderr


def test_a_list_in_a_pipe_is_whole(penny: Penny) -> None:
    made = created(penny, "a name [of] some length", "--new-project", "two", "--requests-per-minute", "7")
    [row] = listed(penny)
    output, _ = penny.start("keys", "list", COLUMNS="40").communicate(timeout=60)
    [line] = [line for line in output.splitlines() if made["id"] in line]
    assert all(row[column] in line for column in ("name", "project", "key", "scopes", "limits", "state"))


def test_a_list_on_a_narrow_terminal_drops_what_says_nothing(penny: Penny) -> None:
    created(penny, "plain")
    [row] = listed(penny)
    reader, writer = pty.openpty()
    environ = penny.environ() | {"COLUMNS": "80", "TERM": "xterm"}
    command = [sys.executable, "-m", "pennyweight", "keys", "list"]
    subprocess.run(command, stdout=writer, env=environ, check=True, timeout=60)
    os.close(writer)
    shown = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert "scopes" not in shown
    assert "limits" not in shown
    assert all(row[column] in shown for column in ("id", "name", "project", "key", "state"))
    assert "\u2026" not in shown
