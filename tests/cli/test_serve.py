"""`penny serve`: starts, answers, stops cleanly, and never opens a door by accident."""

from __future__ import annotations

import json
import re
import signal
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from pennyweight.cli.serve import is_loopback, is_open_door
from pennyweight.config import Settings

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from tests.cli.penny import Penny


def started(
    penny: Penny, model: Path, *arguments: str, **variables: str
) -> tuple[subprocess.Popen[str], str]:
    command = ("serve", "--model", str(model), "--port", "0", "--parallel", "2", *arguments)
    process = penny.start(*command, **variables)
    assert process.stderr is not None
    line = process.stderr.readline()
    address = re.search(r"http://[^/]+", line)
    assert address, line
    return process, address[0]


@pytest.mark.parametrize(
    ("number", "code", "flags", "variables"),
    [
        (signal.SIGTERM, 0, ("--api-key", "k"), {}),
        (signal.SIGINT, 130, (), {"PENNYWEIGHT_API_KEY": "k"}),
    ],
)
def test_it_answers_until_it_is_told_to_stop(
    penny: Penny,
    tiny_llama_path: Path,
    number: signal.Signals,
    code: int,
    flags: tuple[str, ...],
    variables: dict[str, str],
) -> None:
    process, url = started(penny, tiny_llama_path, *flags, **variables)
    try:
        assert httpx.get(f"{url}/health").json()["status"] == "ok"
        assert httpx.get(f"{url}/v1/models").status_code == 401
        body = {"model": "tiny-llama", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3}
        headers = {"authorization": "Bearer k"}
        answer: dict[str, Any] = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers).json()
        assert answer["usage"]["completion_tokens"] == 3
    finally:
        process.send_signal(number)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert output == ""
    assert "Traceback" not in errors


def test_a_model_that_does_not_load_ends_the_server(penny: Penny, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF, but no more")
    process = penny.start("serve", "--model", str(broken), "--port", "0")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = errors.splitlines()
    assert line.startswith("penny: ")
    assert "broken.gguf" in line


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("all-minilm-l6-v3", "did you mean all-minilm-l6-v2"),
        ("smollm2-135m-instruct", "answers in text"),
        ("./no/such.gguf", "no model file"),
    ],
)
def test_a_wrong_embedding_model_ends_the_server(
    penny: Penny, tiny_llama_path: Path, name: str, told: str
) -> None:
    process = penny.start("serve", "--model", str(tiny_llama_path), "--port", "0", "--embedding-model", name)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    [line] = errors.splitlines()
    assert line.startswith("penny: ")
    assert told in line


def test_it_stops_while_a_stream_runs(penny: Penny, endless_model: Path) -> None:
    process, url = started(penny, endless_model)
    body = {"model": "tiny-endless", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json={**body, "ignore_eos": True}) as reply:
        assert next(reply.iter_lines()).startswith("data: ")
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in errors


def test_a_port_that_is_taken(penny: Penny, tiny_llama_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = penny.run("serve", "--model", str(tiny_llama_path), "--port", port)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_machines_need_a_key(penny: Penny, tiny_llama_path: Path) -> None:
    done = penny.run("serve", "--model", str(tiny_llama_path), "--host", "0.0.0.0")
    assert done.returncode == 1
    assert "--insecure" in done.stderr
    for settings in (
        Settings(host="0.0.0.0", insecure=True),
        Settings(host="0.0.0.0", api_key="k"),
        Settings(host="::1"),
        Settings(host="localhost"),
    ):
        assert not is_open_door(settings)
    for host in ("::", "0.0.0.0", "192.0.2.1"):
        assert is_open_door(Settings(host=host))


def test_which_addresses_are_this_machine_alone() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("127.1.2.3")
    assert is_loopback("::1")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("::")


@pytest.mark.parametrize("host", ["a" * 70 + ".x", "no-such-host.invalid"])
@pytest.mark.parametrize("key", [(), ("--api-key", "k")])
def test_a_host_that_does_not_exist(
    penny: Penny, tiny_llama_path: Path, host: str, key: tuple[str, ...]
) -> None:
    done = penny.run("serve", "--model", str(tiny_llama_path), "--host", host, "--port", "0", *key)
    assert done.returncode == 1
    assert host in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_misspelt_setting_starts_nothing(penny: Penny, tiny_llama_path: Path) -> None:
    folder = penny.home / "config" / "pennyweight"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text('api_kye = "secret"\n')
    done = penny.run("serve", "--model", str(tiny_llama_path))
    assert done.returncode == 1
    assert "did you mean 'api_key'" in done.stderr
    assert json.dumps("secret") not in done.stderr


def test_a_further_model_whose_name_means_nothing_is_told_at_the_start(
    penny: Penny, tiny_llama_path: Path
) -> None:
    done = penny.run(
        "serve", "--model", str(tiny_llama_path), "--model", "smolm2-135m-instruct", "--port", "0"
    )
    assert done.returncode == 1
    assert "smolm2-135m-instruct" in done.stderr
